use anyhow::Result;
use harness::PipeLine;
use serde_json::{Value, json};

use super::coveted;

/// Has something of everything.
fn event(title: &str, severity: &str) -> Value {
    json!({
        "title": title,
        "severity": severity,
        "category": "network",
        "message": "10.1.2.3 asked hmi.plant-seven.com for joe@plant-seven.com, then 45.155.205.233 and 46.4.4.4",
        "src_ip": "10.1.2.3",
        "dest_ip": "45.155.205.233",
        "third_ip": "46.4.4.4",
        "url": "http://evil-site.net/?for=hmi.plant-seven.com",
        "user.name": "joe",
        "user.id": "7",
    })
}

fn everything(config: &str, severity: &str) -> Result<PipeLine> {
    coveted(config, &event("federate everything", severity))
}

/// What the ceiling says that it cut.
fn cut(line: &PipeLine) -> String {
    line.share(0)["ceiling"].to_string()
}

#[test]
fn without_a_word_of_configuration_only_high_alerts_leave() -> Result<()> {
    for (severity, leaves) in [("medium", false), ("high", true)] {
        let line = everything("", severity)?;
        assert_eq!(line.share(0).is_object(), leaves, "{line:?}");
    }
    let reason = everything("", "medium")?.keep_reason(0).to_owned();
    assert_eq!(reason, "ceiling: severity medium is below high; the policy would have shared it: wants it all");
    assert!(everything("[federation.ceiling]\nmin_severity = \"low\"", "medium")?.share(0).is_object());
    Ok(())
}

#[test]
fn kinds_markings_and_subjects_beyond_the_ceiling_stay() -> Result<()> {
    let kept = |config: &str, title: &str| -> Result<String> {
        let line = coveted(config, &event(title, "critical"))?;
        assert!(line.share(0).is_null(), "{line:?}");
        Ok(line.keep_reason(0).to_owned())
    };
    let everything = "federate everything";
    assert!(kept("[federation.ceiling]\nkinds = []", everything)?.contains("kind alert"));
    assert!(kept("", "federate red")?.contains("TLP:RED is above TLP:AMBER+STRICT"));
    assert!(kept("[federation.ceiling]\nmax_tlp = \"clear\"", "federate remove")?.contains("TLP:GREEN is above"));
    let config = "[federation.ceiling]\nsubjects = [\"aurora.alerts.cps\"]";
    assert!(kept(config, everything)?.contains("nothing may be shared to aurora.alerts.network"));
    for others in
        ["AURORA.audit", "AURORA.ioc_sharing", "AURORA.agent_results", "aurora.soar.block", "aurora.intel.ioc.ip"]
    {
        assert!(kept("", &format!("{everything} {others}"))?.contains("do not go to"), "{others}");
    }
    Ok(())
}

#[test]
fn what_is_the_sites_own_is_in_no_message() -> Result<()> {
    const OWN: &str = "[federation.ceiling.never]\nnetworks = [\"45.155.0.0/16\"]\ndomains = [\"plant-seven.com\"]\n\
                       lists = [\"list\"]\nfields = [\"user.*\"]";
    let line = everything(OWN, "high")?;
    let messages = line.share(0)["messages"].to_string();
    for own in ["10.1.2.3", "plant-seven", "45.155.205.233", "46.4.4.4", "joe", "user."] {
        assert!(!messages.contains(own), "{own} leaves: {messages}");
    }
    assert!(messages.contains("[masked] asked [masked] for [masked], then [masked] and [masked]"), "{messages}");
    let cut = cut(&line);
    for cause in ["own network", "own domain", "list list", "fields removed: user.id, user.name", "masked in: "] {
        assert!(cut.contains(cause), "{cause}: {cut}");
    }
    // The site itself keeps all of it.
    assert_eq!(line.event(0)["fields"]["user.name"], "joe");
    assert!(line.event(0)["iocs"].to_string().contains("45.155.205.233"));

    let open = everything("", "high")?.share(0)["messages"].to_string();
    assert!(open.contains("45.155.205.233") && open.contains("plant-seven") && open.contains("joe"), "{open}");
    assert!(!open.contains("10.1.2.3"), "{open}");
    Ok(())
}

#[test]
fn a_site_may_say_that_texts_are_nobodys_business() -> Result<()> {
    let line = everything("[federation.ceiling.never]\nmask = false", "high")?;
    let messages = line.share(0)["messages"].to_string();
    assert!(messages.contains("10.1.2.3 asked"), "{messages}");
    assert!(!line.share(0)["observables"].to_string().contains("10.1.2.3"), "its observables are another matter");
    Ok(())
}

#[test]
fn fields_that_the_policy_names_are_in_no_message() -> Result<()> {
    let line =
        coveted("", &json!({"title": "federate remove", "severity": "high", "line": "secret", "other": "plain"}))?;
    let messages = line.share(0)["messages"].to_string();
    assert!(!messages.contains("secret") && messages.contains("plain"), "{messages}");
    Ok(())
}

#[test]
fn a_list_that_cannot_be_read_is_a_problem_and_not_an_empty_list() -> Result<()> {
    let refused =
        everything("[federation.ceiling.never]\nlists = [\"list\", \"gone\"]", "high").unwrap_err().to_string();
    assert!(
        refused.contains("federation.ceiling.never.lists[1]") && refused.contains("gone does not exist"),
        "{refused}"
    );
    Ok(())
}
