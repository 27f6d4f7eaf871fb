//! What a run reports to, and what may stop it.

use super::run_metrics::RunMetrics;
use super::stop::Stop;
use crate::report::Reporter;

#[derive(Clone, Copy)]
pub struct Watch<'a> {
    pub stop: &'a Stop,
    pub metrics: &'a RunMetrics,
    pub reporter: &'a Reporter,
}
