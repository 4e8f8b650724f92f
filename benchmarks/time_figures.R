# Time metafor's forest plots: Rscript time_figures.R TASKS.json LIMIT DPI, with tasks as benchmarks/figures.py writes them.
# Prints JSON: processor seconds from the fit to the written file, or why there is none.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
arguments <- commandArgs(trailingOnly = TRUE)
tasks <- fromJSON(arguments[1], simplifyVector = FALSE)
limit <- as.numeric(arguments[2])
dpi <- as.numeric(arguments[3])
cpu <- function() sum(proc.time()[c("user.self", "sys.self")])
drawn <- function(task) {
  fit <- rma(as.numeric(unlist(task$y)), as.numeric(unlist(task$v)), measure = "SMD", method = "REML", test = "knha",
             slab = as.character(unlist(task$labels)))
  path <- file.path(dirname(arguments[1]), paste0("figure.", task$ending))
  said <- ""
  told <- function(what) { said <<- trimws(conditionMessage(what)); invokeRestart("muffleWarning") }
  invisible(gc())
  setTimeLimit(cpu = limit, transient = TRUE)
  before <- cpu()
  seconds <- tryCatch(withCallingHandlers({
    switch(task$ending,
      svg = svg(path, width = 7, height = task$inches),
      png = png(path, width = 7, height = task$inches, units = "in", res = dpi, type = "cairo"),
      pdf = pdf(path, width = 7, height = task$inches))
    forest(fit, header = TRUE, showweights = TRUE, addpred = TRUE)
    invisible(dev.off())
    cpu() - before
  }, warning = told), error = function(problem) { if (said == "") said <<- conditionMessage(problem); NA })
  setTimeLimit()
  while (dev.cur() > 1) invisible(dev.off())
  list(rows = task$rows, ending = task$ending, seconds = if (is.na(seconds)) NULL else seconds,
       estimate = fit$beta[1], inches = task$inches, failure = if (is.na(seconds)) said else "")
}
cat(toJSON(lapply(tasks, drawn), auto_unbox = TRUE, null = "null", digits = NA))
