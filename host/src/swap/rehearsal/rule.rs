use std::{fmt, str::FromStr};

use super::Report;

/// When a rehearsed guest is promoted by itself: `faults<=0,differences<=10,slower<=1.5`. What is left out is 0, 0 and 2.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    faults: u64,
    differences: u64,
    slower: f64,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rule = Self { faults: 0, differences: 0, slower: 2.0 };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong =
                || format!("{part:?} is no condition; write them like \"faults<=0,differences<=10,slower<=1.5\"");
            let (name, value) = part.split_once("<=").ok_or_else(wrong)?;
            let value = value.trim();
            match name.trim() {
                "faults" => rule.faults = value.parse().map_err(|_| wrong())?,
                "differences" => rule.differences = value.parse().map_err(|_| wrong())?,
                "slower" => rule.slower = value.parse().ok().filter(|times: &f64| *times > 0.0).ok_or_else(wrong)?,
                _ => return Err(wrong()),
            }
        }
        Ok(rule)
    }
}

impl Rule {
    /// Whether `report` is good enough; if not, why.
    ///
    /// # Errors
    /// What is too much, or that there is nothing to go by.
    pub(crate) fn judge(&self, report: &Report) -> Result<(), String> {
        if report.broke_down {
            return Err("the rehearsal itself broke down".to_owned());
        }
        if report.asked == 0 {
            return Err("the guest was asked about no event".to_owned());
        }
        let mut much = Vec::new();
        if report.candidate.faults > self.faults {
            much.push(format!("{} faults, more than {}", report.candidate.faults, self.faults));
        }
        if report.different > self.differences {
            much.push(format!("{} differences, more than {}", report.different, self.differences));
        }
        match report.slower {
            Some(times) if times > self.slower => {
                much.push(format!("{times:.2} times the time, more than {}", self.slower));
            }
            _ => {}
        }
        if much.is_empty() { Ok(()) } else { Err(much.join("; ")) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faults<={},differences<={},slower<={}", self.faults, self.differences, self.slower)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_conditions_and_refuses_others() {
        let rule: Rule = "differences <= 10, slower<=1.5".parse().expect("a rule");
        assert_eq!(rule.to_string(), "faults<=0,differences<=10,slower<=1.5");
        for wrong in ["faults=0", "faults<=-1", "slower<=0", "slower<=NaN", "speed<=1", "faults"] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_promoted_that_saw_no_event() {
        let rule: Rule = "".parse().expect("a rule");
        let mut report = Report { events: 10, ..Report::default() };
        assert_eq!(rule.judge(&report), Err("the guest was asked about no event".to_owned()));
        report.asked = 10;
        assert_eq!(rule.judge(&report), Ok(()));
        let broken = Report { broke_down: true, ..report.clone() };
        assert_eq!(rule.judge(&broken), Err("the rehearsal itself broke down".to_owned()));
        (report.different, report.slower) = (1, Some(2.5));
        let much = rule.judge(&report).expect_err("too much");
        assert_eq!(much, "1 differences, more than 0; 2.50 times the time, more than 2");
    }
}
