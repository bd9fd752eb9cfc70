use std::process::ExitCode;

use serde_json::Value;

use super::{ask::Which, asked, short, table::Table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// As the admin API gives it.
    #[arg(long)]
    json: bool,
}

/// Most characters of a reason: a file that was refused may have a page of them, and the history has all of it.
const REASON: usize = 150;

fn short_of(why: String) -> String {
    match why.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}… (all of it in `aurora guest history`)", &why[..end]),
        None => why,
    }
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    asked(async {
        let answer = args.which.daemon()?.get("").await?;
        if args.json {
            println!("{answer:#}");
            return Ok(ExitCode::SUCCESS);
        }
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let mut table =
            Table::new(&["SLOT", "GUEST", "DIGEST", "SINCE (UTC)", "EVENTS", "FAULTS", "NS/EVENT", "BEFORE", "WHY"]);
        for slot in answer["guests"].as_array().into_iter().flatten() {
            let present = &slot["present"];
            let mut why = short_of(text(&slot["why"]));
            if slot["on_probation"] == true {
                why += "; on probation";
            }
            if slot["kept"] == false {
                why += "; not kept over a restart";
            }
            if slot["rehearsal"].is_object() {
                let candidate = text(&slot["rehearsal"]["candidate"]["digest"]);
                let state = if slot["rehearsal"]["ended"].is_null() { "rehearsing" } else { "was rehearsed:" };
                why += &format!("; {state} {}", short(&candidate));
            }
            table.row([
                text(&slot["slot"]),
                text(&present["name"]),
                short(&text(&present["digest"])).to_owned(),
                text(&present["at"]).get(..19).unwrap_or_default().replace('T', " "),
                slot["events"].to_string(),
                slot["faults"].to_string(),
                slot["ns_an_event"].to_string(),
                slot["before"]["digest"].as_str().map_or("-", short).to_owned(),
                why,
            ]);
        }
        print!("{table}");
        Ok(ExitCode::SUCCESS)
    })
}
