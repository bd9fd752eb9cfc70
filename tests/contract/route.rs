use anyhow::Result;

use super::answer;

#[test]
fn cyber_physical_events_have_their_own_stream() -> Result<()> {
    let cps = answer(&["--format", "json"], r#"{"title":"a","category":"cps"}"#)?;
    assert_eq!(cps.streams(0), ["aurora:cps:alerts"]);
    let other = answer(&["--format", "json"], r#"{"title":"a","category":"identity"}"#)?;
    assert_eq!(other.streams(0), ["aurora:alerts"]);
    Ok(())
}

#[test]
fn readings_go_where_the_site_wants_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let configuration = folder.path().join("aurora.toml");
    std::fs::write(
        &configuration,
        "[site]\nid = \"test\"\n[redis]\nurl = \"redis://127.0.0.1\"\n[redis.streams]\n\"site:readings\" = 1000\n\
         [guests.route.options]\ntelemetry_stream = \"site:readings\"\n",
    )?;
    let configuration = configuration.display().to_string();
    let telemetry = "aurora/sensors/esp32c3_env_01/telemetry";
    let arguments = ["--format", "mqtt", "--topic", telemetry, "--config", &configuration];
    assert_eq!(answer(&arguments, r#"{"sensor":"t","value":21.5}"#)?.streams(0), ["site:readings"]);
    let default = answer(&["--format", "mqtt", "--topic", telemetry], r#"{"sensor":"t","value":21.5}"#)?;
    assert_eq!(default.streams(0), ["aurora:cps:alerts"]);
    Ok(())
}
