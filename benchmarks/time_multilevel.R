# Time rma.mv on a nested problem in a JSON file, {"y": [...], "v": [...], "study": [...]}; second argument: dense or sparse.
# Prints JSON: seconds and results, so that the caller can see that the work was the same, and peak memory on Linux.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
arguments <- commandArgs(trailingOnly = TRUE)
problem <- fromJSON(arguments[1])
data <- data.frame(y = as.numeric(problem$y), v = as.numeric(problem$v), study = as.numeric(problem$study))
data$effect <- seq_len(nrow(data))
clock <- function() as.numeric(Sys.time())
peak <- function() {
  status <- if (file.exists("/proc/self/status")) readLines("/proc/self/status") else character()
  line <- grep("^VmHWM:", status, value = TRUE)
  if (length(line)) as.numeric(gsub("[^0-9]", "", line)) / 1024 else NA
}
before <- clock()
fit <- rma.mv(y, v, random = ~ 1 | study / effect, data = data, sparse = arguments[2] == "sparse")
cat(toJSON(list(seconds = clock() - before, memory = peak(), estimate = as.numeric(fit$beta[1]),
                llf = as.numeric(logLik(fit)), metafor = as.character(packageVersion("metafor")),
                R = R.version.string), auto_unbox = TRUE, digits = NA, na = "null"))
