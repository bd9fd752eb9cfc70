//! Wazuh's alerts.

use std::fmt::Write as _;

use aurora_guest::{Category, Kind};

use crate::{
    draft::{Draft, Meaning, Words},
    meaning::{About, severity, title},
};

/// Whether this is an alert of Wazuh.
pub fn fits(event: &Draft<'_>) -> bool {
    event.get("rule.level").is_some() && event.first(&["rule.description", "rule.id"]).is_some()
}

/// What the alert means.
pub fn meaning(event: &mut Draft<'_>, about: &About<'_>, words: &mut Words) -> Meaning {
    let severity = severity::wazuh(event.get("rule.level").unwrap_or_default());
    event.keep_severity("rule.level");
    words.title.push_str(title::line(event.get("rule.description").unwrap_or("Wazuh alert")));
    if let Some(agent) = event.first(&["agent.name", "agent.id"]) {
        let _ = write!(words.description, "{agent}: ");
    }
    words.description.push_str(title::paragraph(event.first(&["full_log", "rule.description"]).unwrap_or_default()));
    let timestamp_ms = about.time([event.get("timestamp"), event.get("@timestamp")]);
    Meaning { kind: Kind::Alert, severity, category: category(event), timestamp_ms, device: None }
}

/// By the rule's groups; an agent sits on a host, so what none of them tells is about that host.
fn category(event: &Draft<'_>) -> Category {
    const GROUPS: [(&str, Category); 22] = [
        ("amazon", Category::Cloud),
        ("aws", Category::Cloud),
        ("azure", Category::Cloud),
        ("gcp", Category::Cloud),
        ("office365", Category::Cloud),
        ("github", Category::Cloud),
        ("authentication", Category::Identity),
        ("adduser", Category::Identity),
        ("account_changed", Category::Identity),
        ("invalid_login", Category::Identity),
        ("pam", Category::Identity),
        ("sshd", Category::Identity),
        ("sudo", Category::Identity),
        ("win_authentication", Category::Identity),
        ("ids", Category::Network),
        ("suricata", Category::Network),
        ("firewall", Category::Network),
        ("web", Category::Network),
        ("cisco", Category::Network),
        ("fortigate", Category::Network),
        ("paloalto", Category::Network),
        ("accesslog", Category::Network),
    ];
    let groups = || event.fields().filter(|(key, _)| key.starts_with("rule.groups"));
    GROUPS
        .iter()
        .find(|(name, _)| groups().any(|(_, group)| group.starts_with(name)))
        .map_or(Category::Endpoint, |&(_, category)| category)
}
