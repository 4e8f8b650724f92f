# Time metafor's gosh: Rscript time_subsets.R PROBLEM.json, as benchmarks/subsets.py writes it.
# Prints JSON: seconds by estimator, and medians over the subsets, so that the caller can see that the work was the same.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
problem <- fromJSON(commandArgs(trailingOnly = TRUE)[1])
clock <- function() as.numeric(Sys.time())
timed <- function(method) {
  fit <- rma(problem$y, problem$v, method = method)
  run <- function() suppressWarnings(gosh(fit, progbar = FALSE))
  before <- clock(); found <- run(); taken <- clock() - before
  # the least of several, unless one alone takes long
  if (taken < 5) for (i in 1:10) { before <- clock(); run(); taken <- min(taken, clock() - before) }
  list(method = method, seconds = taken, estimate = median(found$res$estimate, na.rm = TRUE),
       tau2 = if (method == "EE") 0 else median(found$res$tau2, na.rm = TRUE))
}
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string,
                works = lapply(problem$methods, timed)), auto_unbox = TRUE, digits = NA))
