use crate::{
    intel::{Edition, Indicator},
    sandbox::Tlp,
};

/// What an object of a bundle is, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// An indicator.
    Item(Item),
    /// An indicator that is none any more.
    Withdrawal(Withdrawal),
    /// What is not taken.
    Skipped(Skipped),
    /// An object of a type that says nothing of indicators: which.
    Other(String),
}

/// An indicator of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which.
    pub indicator: Indicator,
    /// The strictest marking that it has; none: it has none of TLP.
    pub tlp: Option<Tlp>,
    /// From when on, milliseconds since 1970.
    pub first_ms: Option<u64>,
    /// Until when.
    pub expires_ms: Option<u64>,
    /// Object, version and place in its pattern: the same whenever it is read.
    pub name: String,
    /// The object, and which version of it; none if it does not say.
    pub edition: Option<Edition>,
}

/// An indicator whose object is revoked, or over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Which.
    pub indicator: Indicator,
    /// The object, and which version of it says so.
    pub edition: Edition,
    /// Why.
    pub why: &'static str,
}

/// An object that is not taken, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its id, or its place in the bundle.
    pub id: String,
    /// Why.
    pub why: String,
}
