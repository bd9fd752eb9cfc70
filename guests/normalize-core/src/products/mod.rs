//! Shapes of JSON that are recognised, each with its own meaning, and the rule for all others.

mod suricata;
mod zeek;
mod wazuh;
mod windows;
mod windows_events;
mod velociraptor;
mod ocsf;
mod ecs;
mod cloudtrail;
mod okta;
mod sentinel;
mod generic;

use crate::{
    draft::{Draft, Meaning, Words},
    keys::marks,
    meaning::About,
};

/// What the fields of any other object mean.
pub use generic::meaning as generic;
/// What the fields of a Windows event mean.
pub use windows::meaning as windows;
/// What the fields of a line of a Zeek log mean.
pub use zeek::meaning as zeek;

/// What the fields of a product known here mean; nothing if no shape fits. Special before general: winlogbeat also
/// writes ECS, and so do others that ECS knows less of.
pub fn recognised(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Option<Meaning> {
    type Reader = fn(&mut Draft<'_>, &About<'_>, &mut Words) -> Meaning;
    type Test = fn(&Draft<'_>) -> bool;
    const SHAPES: [(u32, Test, Reader); 10] = [
        (marks::SURICATA, suricata::fits, suricata::meaning),
        (marks::ZEEK, zeek::fits, zeek::meaning),
        (marks::WAZUH, wazuh::fits, wazuh::meaning),
        (marks::WINDOWS | marks::WINLOGBEAT, windows::fits, windows::meaning),
        (marks::OCSF, ocsf::fits, ocsf::meaning),
        (marks::CLOUDTRAIL, cloudtrail::fits, cloudtrail::meaning),
        (marks::OKTA, okta::fits, okta::meaning),
        (marks::SENTINEL, sentinel::fits, sentinel::meaning),
        (marks::VELOCIRAPTOR, velociraptor::fits, velociraptor::meaning),
        (marks::ECS, ecs::fits, ecs::meaning),
    ];
    let (.., reader) = SHAPES.iter().find(|(mark, fits, _)| event.has(*mark) && fits(event))?;
    Some(reader(event, about, words))
}
