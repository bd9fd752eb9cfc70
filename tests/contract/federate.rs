use anyhow::Result;
use serde_json::json;

use super::answer;

#[test]
fn high_and_critical_alerts_leave_and_others_stay() -> Result<()> {
    for (severity, leaves) in [("info", false), ("low", false), ("medium", false), ("high", true), ("critical", true)] {
        let input = format!(r#"{{"title":"a","severity":"{severity}","category":"endpoint"}}"#);
        let line = answer(&["--format", "json"], &input)?;
        assert_eq!(line.share(0).is_object(), leaves, "{severity}: {line:?}");
        if leaves {
            assert_eq!(line.share(0)["subject"], "aurora.alerts.endpoint");
            assert!(line.share(0)["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
        } else {
            assert!(!line.keep_reason(0).is_empty());
        }
    }
    Ok(())
}

#[test]
fn public_observables_go_along_and_private_ones_do_not() -> Result<()> {
    let hash = "275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f";
    let input =
        json!({"title": "a", "severity": "high", "src_ip": "192.168.1.4", "dest_ip": "45.155.205.233", "sha256": hash});
    let line = answer(&["--format", "json"], &input.to_string())?;
    let shared = line.share(0)["observables"].to_string();
    assert!(shared.contains(hash) && shared.contains("45.155.205.233"), "{line:?}");
    assert!(!shared.contains("192.168"), "{shared}");
    assert!(line.event(0)["iocs"].to_string().contains("192.168.1.4"), "the site itself should know the address");
    Ok(())
}

#[test]
fn readings_and_heartbeats_stay() -> Result<()> {
    for channel in ["telemetry", "status"] {
        let topic = format!("aurora/sensors/esp32s3_gw_01/{channel}");
        let line = answer(&["--format", "mqtt", "--topic", &topic], r#"{"severity":"critical","value":1}"#)?;
        assert!(line.share(0).is_null(), "{channel} left the site: {line:?}");
    }
    Ok(())
}
