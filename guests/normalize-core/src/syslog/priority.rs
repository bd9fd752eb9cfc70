use crate::fault::Fault;

/// Reads `<PRI>` at the start, if there is one: its number, and where it ends.
pub fn read(text: &str) -> Result<(Option<u8>, usize), Fault> {
    let Some(rest) = text.strip_prefix('<') else { return Ok((None, 0)) };
    let digits = rest.bytes().take(4).take_while(u8::is_ascii_digit).count();
    match rest[..digits].parse::<u8>() {
        Ok(number) if number < 192 && rest.as_bytes().get(digits) == Some(&b'>') => Ok((Some(number), digits + 2)),
        _ => Err(Fault::new(1, "a syslog priority of 0 to 191 and `>`")),
    }
}

/// The name of a severity, as syslog.conf spells it.
#[must_use]
pub fn severity_name(number: u8) -> &'static str {
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"][usize::from(number & 7)]
}

/// The name of a facility, as syslog.conf spells it where it has a name there.
#[must_use]
pub fn facility_name(number: u8) -> &'static str {
    const NAMES: [&str; 24] = [
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
        "audit", "alert", "clockd", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
    ];
    NAMES.get(usize::from(number)).copied().unwrap_or("local7")
}
