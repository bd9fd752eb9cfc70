use std::process::ExitCode;

use serde_json::Value;

use super::{
    ask::{Which, path_of},
    asked, short,
    table::Table,
};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which, as in normalize, normalize/acme or task/triage.
    slot: String,
    #[command(flatten)]
    which: Which,
    /// As the admin API gives it.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    asked(async {
        let answer = args.which.daemon()?.get(&format!("{}/history", path_of(&args.slot))).await?;
        if args.json {
            println!("{answer:#}");
            return Ok(ExitCode::SUCCESS);
        }
        if answer["history"].as_array().is_some_and(Vec::is_empty) {
            println!("{}: nothing has befallen it", args.slot);
            return Ok(ExitCode::SUCCESS);
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut table = Table::new(&["WHEN (UTC)", "WHAT", "GUEST", "DIGEST", "BY", "REASON"]);
        for event in answer["history"].as_array().into_iter().flatten() {
            table.row([
                text(&event["at"]).get(..19).unwrap_or_default().replace('T', " "),
                text(&event["what"]),
                text(&event["name"]),
                short(&text(&event["digest"])).to_owned(),
                text(&event["by"]),
                text(&event["reason"]),
            ]);
        }
        print!("{table}");
        Ok(ExitCode::SUCCESS)
    })
}
