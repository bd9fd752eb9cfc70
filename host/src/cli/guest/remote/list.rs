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

fn short_of(why: String, rest: &str) -> String {
    match why.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…{rest}", &why[..end]),
        None => why,
    }
}

/// The agents of `[tasks]`, each with its newest dead letter. That is told only to who has the token.
fn of_agents(agents: &[Value]) -> Table {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let heading = ["AGENT", "GUEST", "DIGEST", "STATE", "UNDER WAY", "DONE", "FAILED", "GIVEN UP LAST"];
    let mut table = Table::new(&heading);
    for agent in agents {
        let letter = &agent["dead_letters"][0];
        let given_up = match letter.is_object() {
            true => short_of(format!("{}: {}", text(&letter["task_id"]), text(&letter["reason"])), ""),
            false => "-".to_owned(),
        };
        table.row([
            text(&agent["agent"]),
            text(&agent["name"]),
            short(&text(&agent["digest"])).to_owned(),
            text(&agent["state"]),
            agent["under_way"].to_string(),
            agent["completed"].to_string(),
            agent["failed"].to_string(),
            given_up,
        ]);
    }
    table
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
            let mut why = short_of(text(&slot["why"]), " (all of it in `aurora guest history`)");
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
        let agents = answer["agents"].as_array().filter(|agents| !agents.is_empty());
        if let Some(agents) = agents {
            print!("\n{}", of_agents(agents));
        }
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_is_a_line_with_what_was_given_up_last() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let agents = [
            json!({"agent":"triage","name":"task-triage","digest":digest,"state":"working","under_way":2,"completed":7,
                   "failed":1,"dead_letters":[{"task_id":"t-1","reason":"no\u{1b}"},{"task_id":"t-0","reason":"old"}]}),
            json!({"agent":"idle","name":"x","digest":digest,"state":"idle","under_way":0,"completed":0,"failed":0}),
        ];
        let said = of_agents(&agents).to_string();
        let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1][..2], ["triage", "task-triage"]);
        assert_eq!(lines[1][3..7], ["working", "2", "7", "1"]);
        assert!(said.contains("t-1: no") && !said.contains("old") && !said.contains('\u{1b}'), "{said:?}");
        assert_eq!(lines[2].last(), Some(&"-"));
    }
}
