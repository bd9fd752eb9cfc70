use aurora_guest::{Failure, settings};

use crate::{observables::AllowList, time};

/// The site's settings.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `utc_offset`: the zone of times that are written without one, as `+02:00`. UTC by default.
    pub utc_offset_min: i32,
    /// `allow_list`: the site's own domains, addresses, networks and other values, which are marked and never shared.
    pub allow: AllowList,
}

impl Options {
    /// Reads them from `[guests.normalize.options]`.
    ///
    /// # Errors
    /// [`Failure::InvalidSettings`] names the option.
    pub fn from_settings() -> Result<Self, Failure> {
        let mut options = Self::default();
        if let Some(text) = settings::text("utc_offset")? {
            options.utc_offset_min = time::offset(&text).ok_or_else(|| {
                Failure::InvalidSettings(format!("option `utc_offset` is {text:?}, expected something like \"+02:00\""))
            })?;
        }
        options.allow = AllowList::new(&settings::texts("allow_list")?)
            .map_err(|wrong| Failure::InvalidSettings(format!("option `allow_list`: {wrong}")))?;
        Ok(options)
    }
}
