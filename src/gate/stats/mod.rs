//! Exact and sequential statistics of counts. Pure functions; every loop has a bound.

pub(crate) mod beta;
pub(crate) mod binomial;
pub(crate) mod change;
pub(crate) mod comparison;
pub(crate) mod difference;
pub(crate) mod dispersion;
pub(crate) mod gamma;
pub(crate) mod quantile;
pub(crate) mod ranks;
pub(crate) mod sequential;
pub(crate) mod windows;

#[cfg(test)]
mod simulation;
