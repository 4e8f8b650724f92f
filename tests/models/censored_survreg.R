# Interval-censored normal regression by R's survival package, for the tests of metaexo's censored model.
#
#   Rscript tests/models/censored_survreg.R > tests/models/censored_survreg.json
#
# All sampling variances of a case are equal to v, so that the residual variance of survreg is tau2 + v.
suppressMessages({library(survival); library(jsonlite)})

mixed <- function(seed, k, v, tau, slope = 0) {
  set.seed(seed)
  x <- round(rnorm(k), 2)
  y <- round(0.5 + slope * x + rnorm(k, 0, sqrt(v + tau^2)), 3)
  q <- round(1.96 * sqrt(v), 3)
  said <- sample(rep(c("number", "threshold", "direction"), length.out = k))
  lower <- ifelse(said == "number", y, ifelse(said == "direction", ifelse(y > 0, 0, -Inf),
    ifelse(y > q, q, ifelse(y < -q, -Inf, -q))))
  upper <- ifelse(said == "number", y, ifelse(said == "direction", ifelse(y > 0, Inf, 0),
    ifelse(y > q, Inf, ifelse(y < -q, -q, q))))
  list(lower = lower, upper = upper, x = x, v = v)
}

fit <- function(case, covariate) {
  low <- ifelse(is.finite(case$lower), case$lower, NA)
  high <- ifelse(is.finite(case$upper), case$upper, NA)
  response <- Surv(low, high, type = "interval2")
  control <- survreg.control(rel.tolerance = 1e-14, maxiter = 200)
  model <- if (covariate) survreg(response ~ case$x, dist = "gaussian", control = control) else
    survreg(response ~ 1, dist = "gaussian", control = control)
  list(lower = case$lower, upper = case$upper, x = if (covariate) case$x else NULL, v = case$v,
    beta = unname(coef(model)), tau2 = model$scale^2 - case$v, llf = model$loglik[2])
}

cases <- list(
  fit(mixed(1, 12, 0.05, 0.4), FALSE),
  fit(mixed(2, 30, 0.08, 0.5), FALSE),
  fit(mixed(3, 60, 0.10, 0.3), FALSE),
  fit(mixed(4, 40, 0.06, 0.4, 0.3), TRUE),
  fit(mixed(5, 25, 0.02, 0.6, -0.4), TRUE)
)
versions <- list(R = R.version.string, survival = as.character(packageVersion("survival")))
cat(toJSON(list(versions = versions, cases = cases), digits = 15, auto_unbox = TRUE, pretty = TRUE, na = "string"))
