# Time metafor's refits: Rscript time_sensitivity.R PROBLEMS.json, as benchmarks/sensitivity_speed.py writes it.
# Prints JSON: seconds of each work, how much of it was run (the rest is in proportion), and a number of its result.
suppressPackageStartupMessages({ library(metafor); library(jsonlite); library(boot) })
problems <- fromJSON(commandArgs(trailingOnly = TRUE)[1], simplifyVector = FALSE)
numbers <- function(x) as.numeric(unlist(x))
clock <- function() as.numeric(Sys.time())
# refits without one of the first `run` effects, as leave1out and influence make them
deleted <- function(fit, y, v, run, value) sapply(seq_len(run), function(i) value(rma(y[-i], v[-i], method = fit$method)))
works <- list(
  "leave-one-out" = function(p, y, v, x) {
    if (p$run == length(y)) return(leave1out(rma(y, v, method = p$method))$estimate[1])
    deleted(list(method = p$method), y, v, p$run, function(one) coef(one))[1]
  },
  "influence" = function(p, y, v, x) {
    fit <- rma(y, v, method = p$method)
    if (p$run == length(y)) return(influence(fit)$inf$cook.d[1])
    b <- deleted(fit, y, v, p$run, function(one) coef(one))
    as.numeric((coef(fit) - b[1])^2 / vcov(fit))
  },
  "permutation test" = function(p, y, v, x) {
    fit <- rma(y, v, mods = ~x, method = p$method)
    set.seed(1)
    permutest(fit, exact = FALSE, iter = p$run, progbar = FALSE)
    coef(fit)[2]
  },
  "bootstrap" = function(p, y, v, x) {
    set.seed(1)
    one <- function(data, rows) coef(rma(data$y[rows], data$v[rows], method = p$method, control = list(stepadj = 0.5, maxiter = 1000)))
    boot(data.frame(y = y, v = v), one, R = p$run)$t0
  })
timed <- function(p) {
  y <- numbers(p$y); v <- numbers(p$v); x <- numbers(p$x)
  before <- clock()
  found <- suppressWarnings(works[[p$work]](p, y, v, x))
  taken <- clock() - before
  list(work = p$work, method = p$method, seconds = taken * p$of / p$run, run = p$run, of = p$of, found = as.numeric(found))
}
cat(toJSON(list(metafor = as.character(packageVersion("metafor")), R = R.version.string, works = lapply(problems, timed)),
           auto_unbox = TRUE, digits = NA, null = "null"))
