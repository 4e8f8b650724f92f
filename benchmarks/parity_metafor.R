# Effects and fits by metafor, for the problems in a JSON file; prints JSON. See parity.py.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
problems <- fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
effects <- function(problem) {
  inputs <- lapply(problem$inputs, numbers)
  found <- do.call(escalc, c(list(measure = problem$measure), inputs))
  list(y = as.numeric(found$yi), v = as.numeric(found$vi))
}
fit <- function(y, v, method, test) {
  # metafor stops early by default; with these thresholds both sides reach the same maximum or root
  control <- list(threshold = 1e-11 * var(y), tol = 1e-13 * var(y), maxiter = 10000)
  found <- rma(y, v, method = method, test = test, control = control)
  list(estimate = as.numeric(found$beta), se = found$se, low = found$ci.lb, high = found$ci.ub,
       tau2 = found$tau2, q = found$QE)
}
answer <- lapply(problems$data, function(problem) {
  y <- numbers(problem$y); v <- numbers(problem$v)
  fits <- lapply(problems$choices, function(choice) fit(y, v, choice$method, choice$metafor_test))
  list(effects = if (is.null(problem$inputs)) NULL else effects(problem), fits = fits)
})
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, data = answer),
           auto_unbox = TRUE, digits = NA, null = "null"))
