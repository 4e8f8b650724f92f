# Time metafor's mixed models of counts: Rscript time_counts.R PROBLEMS.json, as benchmarks/count_models.py writes it.
# Prints JSON: for each model the user seconds of each data set, its estimate, its standard error and tau2, and whether
# R stopped or warned that the fit did not converge. Models whose packages are missing are left out.
suppressPackageStartupMessages({ library(metafor); library(jsonlite) })
problems <- fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
one <- function(set, model, points) {
  x1 <- numbers(set$x1); n1 <- numbers(set$n1); x2 <- numbers(set$x2); n2 <- numbers(set$n2)
  doubtful <- FALSE
  fit <- function() {
    if (model == "PLO") return(rma.glmm(measure = "PLO", xi = x1, ni = n1, nAGQ = points))
    rma.glmm(measure = "OR", ai = x1, n1i = n1, ci = x2, n2i = n2, model = model, nAGQ = points)
  }
  taken <- system.time(found <- tryCatch(
    withCallingHandlers(fit(), warning = function(w) {
      if (grepl("converge|singular|unidentifiable|Hessian", conditionMessage(w))) doubtful <<- TRUE
      invokeRestart("muffleWarning")
    }), error = function(e) NULL))
  stopped <- is.null(found)
  list(seconds = as.numeric(taken["user.self"]), stopped = stopped, doubtful = doubtful,
       estimate = if (stopped) NA else as.numeric(coef(found)[1]), se = if (stopped) NA else found$se[1],
       tau2 = if (stopped) NA else found$tau2)
}
works <- Filter(function(p) p$model != "CM.EL" || requireNamespace("BiasedUrn", quietly = TRUE), problems)
timed <- lapply(works, function(p) {
  one(p$sets[[1]], p$model, p$points) # not timed: what R loads and compiles
  list(name = p$name, sets = lapply(p$sets, one, p$model, p$points))
})
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), lme4 = as.character(packageVersion("lme4")),
                R = R.version.string, works = timed), auto_unbox = TRUE, digits = NA, null = "null", na = "null"))
