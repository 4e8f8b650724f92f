# Time metafor's methods for small-study effects: Rscript time_bias.R PROBLEMS.json, as benchmarks/bias_speed.py writes it.
# Prints JSON: seconds of each call, and one number of its result, so that the caller can see that the work was the same.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
problems <- fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
clock <- function() as.numeric(Sys.time())
# the least time of repeats within a second, or that of the first call if it took more than five
least_time <- function(run, first, budget = 1) {
  if (first > 5) return(first)
  begin <- clock()
  taken <- c()
  while (length(taken) < 3 || (clock() - begin < budget && length(taken) < 300)) {
    before <- clock(); run(); taken <- c(taken, clock() - before)
  }
  min(taken)
}
# what is timed, and the number that is compared; fits are made before
works <- list(
  "regression test" = list(function(y, v, fit) regtest(fit), function(x) x$zval),
  "regression test, weighted least squares" = list(function(y, v, fit) regtest(y, v, model = "lm"), function(x) x$zval),
  "rank test" = list(function(y, v, fit) ranktest(y, v), function(x) x$tau),
  "trim and fill" = list(function(y, v, fit) trimfill(fit, estimator = "L0", side = "left"), function(x) x$beta[1]),
  "fail-safe N (Rosenthal)" = list(function(y, v, fit) fsn(y, v), function(x) x$fsnum),
  "fail-safe N (Rosenberg)" = list(function(y, v, fit) fsn(y, v, type = "Rosenberg"), function(x) x$fsnum),
  "excess significance" = list(function(y, v, fit) tes(y, v, test = "chi2"), function(x) x$X2),
  "Henmi-Copas" = list(function(y, v, fit) hc(rma(y, v, method = "DL")), function(x) x$ci.lb),
  "selection, step function" = list(function(y, v, fit) selmodel(fit, type = "stepfun", steps = 0.025), function(x) x$beta[1]),
  "selection, three steps" = list(function(y, v, fit) selmodel(fit, type = "stepfun", steps = c(0.025, 0.5)), function(x) x$beta[1]),
  "selection, beta" = list(function(y, v, fit) selmodel(fit, type = "beta"), function(x) x$beta[1]),
  "selection, negative exponential" = list(function(y, v, fit) selmodel(fit, type = "negexp"), function(x) x$beta[1]))
timed <- function(problem) {
  y <- numbers(problem$y); v <- numbers(problem$v)
  method <- if (startsWith(problem$work, "selection")) "ML" else "REML"
  fit <- rma(y, v, method = method, test = if (method == "ML") "z" else "knha")
  work <- works[[problem$work]]
  run <- function() suppressWarnings(work[[1]](y, v, fit))
  said <- list(work = problem$work, k = length(y))
  tryCatch({
    before <- clock(); found <- run(); first <- clock() - before
    c(said, list(seconds = least_time(run, first), found = as.numeric(work[[2]](found))))
  }, error = function(stopped) c(said, list(seconds = NULL, found = NULL, failure = conditionMessage(stopped))))
}
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, works = lapply(problems, timed)),
           auto_unbox = TRUE, digits = NA, null = "null"))
