use super::never::Why;

/// What was cut, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// An event of a kind that stays.
    Kind,
    /// An alert below the least severity.
    Severity,
    /// An event, or its observables, for their subject.
    Subject,
    /// An event that is marked as too confidential.
    Tlp,
    /// An entry of a stream that is not offered.
    Offer,
    /// An entry that is another site's.
    Origin,
    /// An observable that its own normalizer called reserved or allow-listed.
    Scope,
    /// An observable that means nothing elsewhere.
    Reserved,
    /// An observable of the site's networks.
    Network,
    /// An observable of the site's names.
    Domain,
    /// An observable of a list.
    List,
    /// An observable that everybody has.
    Common,
    /// An observable of which it cannot be told what it stands for.
    Unreadable,
    /// A field.
    Field,
    /// A text in which something was blotted out.
    Mask,
}

impl From<Why<'_>> for Cut {
    fn from(why: Why<'_>) -> Self {
        match why {
            Why::Reserved => Self::Reserved,
            Why::Network => Self::Network,
            Why::Domain => Self::Domain,
            Why::List(_) => Self::List,
            Why::Common => Self::Common,
            Why::Unreadable => Self::Unreadable,
        }
    }
}

impl Cut {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Kind,
        Self::Severity,
        Self::Subject,
        Self::Tlp,
        Self::Offer,
        Self::Origin,
        Self::Scope,
        Self::Reserved,
        Self::Network,
        Self::Domain,
        Self::List,
        Self::Common,
        Self::Unreadable,
        Self::Field,
        Self::Mask,
    ];

    /// As in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Severity => "severity",
            Self::Subject => "subject",
            Self::Tlp => "tlp",
            Self::Offer => "offer",
            Self::Origin => "origin",
            Self::Scope => "scope",
            Self::Reserved => "reserved",
            Self::Network => "network",
            Self::Domain => "domain",
            Self::List => "list",
            Self::Common => "common",
            Self::Unreadable => "unreadable",
            Self::Field => "field",
            Self::Mask => "mask",
        }
    }
}
