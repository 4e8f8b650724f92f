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
# methods for small-study effects and selection, one number or a few each; NULL where metafor stops
bias <- function(y, v) {
  control <- list(threshold = 1e-11 * var(y), tol = 1e-13 * var(y), maxiter = 10000)
  fitted <- rma(y, v, method = "REML", test = "knha", control = control)
  ml <- rma(y, v, method = "ML", test = "z", control = control)
  # trimfill refits with metafor's early stop, so it is given an estimator of tau2 that does not iterate
  closed <- rma(y, v, method = "DL", test = "z")
  first <- function(call, take) tryCatch(take(suppressWarnings(call())), error = function(problem) NULL)
  list(
    "regression test" = first(function() regtest(fitted), function(x) c(x$zval, x$pval, x$est)),
    "regression test, weighted least squares" = first(function() regtest(y, v, model = "lm"), function(x) c(x$zval, x$pval, x$est)),
    "rank test" = first(function() ranktest(y, v), function(x) c(x$tau, x$pval)),
    "trim and fill" = first(function() trimfill(closed), function(x) c(x$k0, x$beta[1], x$se)),
    "fail-safe N (Rosenthal)" = first(function() fsn(y, v), function(x) x$fsnum),
    "fail-safe N (Rosenberg)" = first(function() fsn(y, v, type = "Rosenberg"), function(x) x$fsnum),
    "excess significance" = first(function() tes(y, v, test = "chi2"), function(x) c(x$O, x$E)),
    "Henmi-Copas" = first(function() hc(closed, control = list(tol = 1e-12)), function(x) c(x$beta, x$ci.lb, x$ci.ub)),
    "selection, step function" = first(function() selmodel(ml, type = "stepfun", steps = 0.025), function(x) c(x$beta[1], x$LRT)),
    "selection, negative exponential" = first(function() selmodel(ml, type = "negexp"), function(x) c(x$beta[1], x$LRT)))
}
# what a plot returns, without the plot
drawn <- function(plot) { pdf(NULL); on.exit(dev.off()); plot }
# refits; DL and HE do not iterate, so that both sides find the same number
refits <- function(y, v) {
  closed <- rma(y, v, method = "DL", test = "knha")
  k <- length(y)
  deleted <- leave1out(closed); grown <- cumul(closed, order = rev(seq_len(k))); moved <- influence(closed)$inf
  found <- list(
    "leave-one-out" = c(deleted$estimate, deleted$ci.lb, deleted$tau2, deleted$I2 / 100, deleted$Q),
    "cumulative" = c(grown$estimate[-1], grown$ci.ub[-1], grown$tau2[-1]),
    "influence" = c(moved$rstudent, moved$dffits, moved$cook.d, moved$cov.r, moved$tau2.del, moved$QE.del, moved$hat),
    "Baujat" = unlist(drawn(baujat(closed))[c("x", "y")]))
  if (k <= 13) {
    every <- gosh(closed, progbar = FALSE)$res
    found[["all subsets"]] <- c(quantile(every[, "estimate"], (0:4) / 4), mean(every[, "tau2"]), mean(every[, "I2"]) / 100)
    found[["permutation test"]] <- permutest(closed, exact = TRUE, progbar = FALSE)$pval
  }
  lapply(found, as.numeric)
}
answer <- lapply(problems$data, function(problem) {
  y <- numbers(problem$y); v <- numbers(problem$v)
  fits <- lapply(problems$choices, function(choice) fit(y, v, choice$method, choice$metafor_test))
  list(effects = if (is.null(problem$inputs)) NULL else effects(problem), fits = fits, bias = bias(y, v), refits = refits(y, v))
})
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, data = answer),
           auto_unbox = TRUE, digits = NA, null = "null"))
