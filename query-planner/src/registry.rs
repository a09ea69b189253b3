//! The functions a query may use. The executor registers the same ones, so that what was planned can be run.

use std::sync::Arc;

use datafusion_expr::planner::ExprPlanner;
use datafusion_expr::{AggregateUDF, ScalarUDF, Volatility, WindowUDF};

use crate::approx_distinct::{self, approx_distinct};
use crate::percentile::percentile_disc;
use crate::udf::width_bucket;

/// Everything that can be called in SQL.
#[derive(Debug, Clone)]
pub struct Functions {
    /// Row by row.
    pub scalar: Vec<Arc<ScalarUDF>>,
    /// Over a group.
    pub aggregate: Vec<Arc<AggregateUDF>>,
    /// Over a window.
    pub window: Vec<Arc<WindowUDF>>,
    /// What turns syntax (EXTRACT, POSITION, COUNT(*)) into calls.
    pub planners: Vec<Arc<dyn ExprPlanner>>,
}

/// The functions queries are planned with: DataFusion's, without the volatile ones, and our own.
pub fn functions() -> Functions {
    let mut scalar = datafusion_functions::all_default_functions();
    // A volatile function (random, uuid) would make sites derive different rows from one plan.
    scalar.retain(|f| f.signature().volatility != Volatility::Volatile);
    scalar.push(width_bucket());
    let mut aggregate = datafusion_functions_aggregate::all_default_aggregate_functions();
    aggregate.retain(|f| f.name() != approx_distinct::NAME);
    aggregate.extend([percentile_disc(), approx_distinct()]);
    Functions {
        scalar,
        aggregate,
        window: datafusion_functions_window::all_default_window_functions(),
        planners: vec![
            Arc::new(datafusion_functions::core::planner::CoreFunctionPlanner::default()),
            Arc::new(datafusion_functions::datetime::planner::DatetimeFunctionPlanner),
            Arc::new(datafusion_functions::unicode::planner::UnicodeFunctionPlanner),
            Arc::new(datafusion_functions_aggregate::planner::AggregateFunctionPlanner),
            Arc::new(datafusion_functions_window::planner::WindowFunctionPlanner),
        ],
    }
}

impl Functions {
    pub(crate) fn find_scalar(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.scalar.iter().find(|f| f.name() == name || f.aliases().iter().any(|a| a == name)).cloned()
    }

    pub(crate) fn find_aggregate(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        // PostgreSQL's name for the sample variance; DataFusion knows only `var` and `var_samp`.
        let name = if name == "variance" { "var" } else { name };
        self.aggregate.iter().find(|f| f.name() == name || f.aliases().iter().any(|a| a == name)).cloned()
    }

    pub(crate) fn find_window(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.window.iter().find(|f| f.name() == name || f.aliases().iter().any(|a| a == name)).cloned()
    }
}
