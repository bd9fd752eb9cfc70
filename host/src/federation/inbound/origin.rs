use uuid::Uuid;

use super::Sort;
use crate::{
    event::{Context, is_device_id},
    sandbox::Tlp,
};

/// Where an event of another site comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The site.
    pub site: String,
    /// The id that the event has there, and here.
    pub id: Uuid,
    /// Its marking, as it came.
    pub tlp: Tlp,
}

/// What the source of a context of another site's messages begins with. No collector can pass anything off as one, for
/// names of origins have no colons.
const PREFIX: &str = "aurora:federation:";

/// Stands for a site that cannot be told. No site can have this name.
const UNKNOWN: &str = "?";

/// The context of messages of `site` on `subject`; none: the site cannot be told, and they are not taken.
pub(crate) fn context(site: Option<&str>, sort: Sort, subject: &str) -> Context {
    Context {
        source: format!("{PREFIX}{}", site.unwrap_or(UNKNOWN)),
        format: "json".to_owned(),
        topic: Some(subject.to_owned()),
        channel: Some(sort.as_str().to_owned()),
        ..Context::default()
    }
}

/// The site that a delivery of this context comes from; none if from no other.
#[must_use]
pub fn site_of(context: &Context) -> Option<&str> {
    // Nearly every event ends here.
    context.source.strip_prefix(PREFIX)
}

/// Whether `site` can be a site's name.
pub(super) fn is_site(site: &str) -> bool {
    is_device_id(site)
}
