//! Relational operators on shared columns, written once against [`crate::Engine`]: every engine has them. Control flow
//! depends on public sizes only, and nothing is opened here but what an operator's own text says.
//!
//! | operator | source | file |
//! |---|---|---|
//! | top k of shared totals | ranks by counting, or the sort | `top_k.rs` |
//! | minimum, maximum, percentiles | counting cells before a target | `quantile.rs`, `fraction.rs` |
//! | small-cell suppression | interval rule, decided on shares | `suppress/` |
//! | totals over matched patients | a circuit for every row, by levels | `patients/` |
//! | keys frequent over all sites | circuit-PSI of every pair, open after a shuffle | `frequent_keys.rs` |
//! | is a set of patients close to an earlier one | alignment of all with all or with those before, counts of bits, one bit opened | `differencing/` |
//! | approximate number of distinct elements | Flajolet et al. AofA'07, unary registers | `union_sketch.rs` |
//! | stable sort | Bogdanov et al. NordSec'14, Hamada et al. 2014, Asharov et al. CCS'22 | `sort.rs` |

pub mod differencing;
pub mod fraction;
pub mod frequent_keys;
pub mod patients;
pub mod quantile;
pub(crate) mod shape;
pub mod sort;
pub mod suppress;
pub mod top_k;
pub mod union_sketch;
