use anyhow::{Context as _, Result};

/// One reading of `/metrics`.
#[derive(Clone, Debug)]
pub struct Scrape(pub String);

impl Scrape {
    /// The value of a series, written as Prometheus writes it: `name` or `name{label="value"}`.
    ///
    /// # Errors
    /// There is no such series.
    pub fn get(&self, series: &str) -> Result<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let value = line.with_context(|| format!("no series {series}"))?;
        value.trim().parse().with_context(|| format!("{series} is {value}"))
    }

    /// The sum of all series whose name is `name`, over their labels.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = self.0.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_series_and_no_longer_name() {
        let scrape = Scrape("# HELP a help\na_total 5\na{x=\"1\"} 2\na{x=\"2\"} 3\na 7\n".to_owned());
        assert_eq!(scrape.get("a").unwrap(), 7.0);
        assert_eq!(scrape.get("a{x=\"2\"}").unwrap(), 3.0);
        assert_eq!(scrape.sum("a"), 12.0);
        assert!(scrape.get("b").is_err());
    }
}
