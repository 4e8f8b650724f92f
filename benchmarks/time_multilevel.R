# Time rma.mv on the nested problems in a JSON file, a list of {"y": [...], "v": [...], "study": [...]}, dense and sparse.
# Prints JSON: seconds and results, so that the caller can see that the work was the same.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
problems <- fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
clock <- function() as.numeric(Sys.time())
one <- function(problem, sparse) {
  data <- data.frame(y = numbers(problem$y), v = numbers(problem$v), study = numbers(problem$study))
  data$effect <- seq_len(nrow(data))
  before <- clock()
  fit <- rma.mv(y, v, random = ~ 1 | study / effect, data = data, sparse = sparse)
  list(k = nrow(data), sparse = sparse, seconds = clock() - before,
       estimate = as.numeric(fit$beta[1]), sigma2 = as.numeric(fit$sigma2), llf = as.numeric(logLik(fit)))
}
results <- list()
for (problem in problems) for (sparse in c(TRUE, FALSE)) results[[length(results) + 1]] <- one(problem, sparse)
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, fits = results),
           auto_unbox = TRUE, digits = NA))
