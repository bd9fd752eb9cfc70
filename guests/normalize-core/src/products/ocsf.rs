//! Events of the Open Cybersecurity Schema Framework 1.x.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, category, severity, title},
};

/// Whether this is an OCSF event.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("class_uid").is_some()
        && event.first(&["category_uid", "activity_id", "metadata.version", "severity_id", "type_uid"]).is_some()
}

/// What the event means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let key = if event.get("severity_id").is_some() { "severity_id" } else { "severity" };
    let stated = event.get(key).unwrap_or_default();
    // 99 is a severity of the source's own, written out beside it.
    let severity = match event.get("severity") {
        Some(word) if stated == "99" || key == "severity" => severity::by_word(word),
        _ => None,
    };
    let severity = severity.unwrap_or_else(|| severity::ocsf(stated));
    event.keep_severity(key);
    let name = event.first(&["finding_info.title", "finding.title", "message", "type_name", "class_name"]);
    words.title.push_str(title::line(name.unwrap_or("OCSF event")));
    let more = event.first(&["finding_info.desc", "finding.desc", "message", "status_detail"]);
    match more {
        Some(more) => words.description.push_str(title::paragraph(more)),
        None => {
            let activity = event.get("activity_name").unwrap_or_default();
            let _ = write!(words.description, "{activity} ");
            let from = event.first(&["src_endpoint.ip", "src_endpoint.hostname", "actor.user.name"]);
            let to = event.first(&["dst_endpoint.ip", "dst_endpoint.hostname", "user.name", "device.hostname"]);
            let from = from.map(|end| (end, event.get("src_endpoint.port")));
            let to = to.map(|end| (end, event.get("dst_endpoint.port")));
            title::endpoints(&mut words.description, from, to);
        }
    }
    let timestamp_ms = about.time([event.get("time"), event.get("time_dt"), event.get("start_time")]);
    Meaning { kind: Kind::Alert, severity, category: category(event), timestamp_ms, device: None }
}

/// By `category_uid`, or the thousands of `class_uid`, which are the same. A finding belongs where its product does.
fn category(event: &Draft<'_>) -> Category {
    let class: u32 = event.get("class_uid").and_then(|class| class.parse().ok()).unwrap_or(0);
    let uid = event.get("category_uid").and_then(|uid| uid.parse().ok()).unwrap_or(class / 1000);
    let cloud = event.first(&["cloud.provider", "api.service.name"]).is_some();
    let product =
        || event.first(&["metadata.product.name", "metadata.product.vendor_name"]).and_then(category::by_product);
    match uid {
        3 => Category::Identity,
        4 => Category::Network,
        8 => Category::Cps,
        6 if cloud || class == 6003 => Category::Cloud,
        2 => product().unwrap_or(if cloud { Category::Cloud } else { Category::Endpoint }),
        6 => product().unwrap_or(Category::Network),
        _ => Category::Endpoint,
    }
}
