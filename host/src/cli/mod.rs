//! (in the making)

pub mod check;
