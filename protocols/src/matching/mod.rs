//! Private matching of the sites' patients.

pub mod align;
