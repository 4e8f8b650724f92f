# Time metafor on the problems in a JSON file: {"one": [{"y": [...], "v": [...]}, ...], "many": {"y": [[...]], "v": [[...]]}}.
# Prints JSON: seconds per fit, and the results, so that the caller can see that the work was the same.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
arguments <- commandArgs(trailingOnly = TRUE)
problems <- fromJSON(arguments[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
clock <- function() as.numeric(Sys.time())
least_time <- function(run, budget) {
  run()
  taken <- c()
  begin <- clock()
  while (length(taken) < 3 || (clock() - begin < budget && length(taken) < 300)) {
    before <- clock(); run(); taken <- c(taken, clock() - before)
  }
  min(taken)
}
one <- lapply(problems$one, function(problem) {
  y <- numbers(problem$y); v <- numbers(problem$v)
  fit <- rma(y, v, method = "REML", test = "knha")
  list(k = length(y), seconds = least_time(function() rma(y, v, method = "REML", test = "knha"), 2),
       estimate = fit$beta[1], tau2 = fit$tau2)
})
sample <- problems$many
before <- clock()
fits <- lapply(seq_along(sample$y), function(i) {
  fit <- rma(numbers(sample$y[[i]]), numbers(sample$v[[i]]), method = "REML", test = "knha")
  c(fit$beta[1], fit$tau2)
})
many <- list(count = length(fits), seconds = clock() - before, estimate = sapply(fits, `[`, 1), tau2 = sapply(fits, `[`, 2))
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, one = one, many = many),
           auto_unbox = TRUE, digits = NA))
