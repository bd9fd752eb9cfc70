//! Windows events known by their number: what a person calls them, where they belong, and the field that names their
//! subject. Names follow Microsoft's own lists of Security and Sysmon events.

use aurora_guest::{
    Category::{self, Endpoint, Identity},
    Severity::{self, High, Low, Medium},
};

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What a person calls it.
    pub name: &'static str,
    /// What part of the site it concerns.
    pub category: Category,
    /// The event is at least this bad, whatever level it was written at: Windows writes most of them as information.
    pub at_least: Option<Severity>,
    /// The fields that may name its subject.
    pub subjects: &'static [&'static str],
}

type Row = (u32, &'static str, Category, Option<Severity>, &'static [&'static str]);

const IMAGE: &[&str] = &["Image"];
const SOURCE: &[&str] = &["SourceImage"];
const USER: &[&str] = &["TargetUserName", "SubjectUserName"];
const MEMBER: &[&str] = &["MemberName", "MemberSid", "TargetUserName"];
const PROCESS: &[&str] = &["NewProcessName", "ProcessName"];

const SYSMON: [Row; 29] = [
    (1, "Process created", Endpoint, None, IMAGE),
    (2, "File creation time changed", Endpoint, Some(Low), &["TargetFilename"]),
    (3, "Network connection", Endpoint, None, IMAGE),
    (4, "Sysmon service state changed", Endpoint, Some(Low), &["State"]),
    (5, "Process terminated", Endpoint, None, IMAGE),
    (6, "Driver loaded", Endpoint, None, &["ImageLoaded"]),
    (7, "Image loaded", Endpoint, None, &["ImageLoaded"]),
    (8, "Remote thread created", Endpoint, Some(Medium), SOURCE),
    (9, "Raw disk read", Endpoint, Some(Low), IMAGE),
    (10, "Process accessed", Endpoint, None, &["TargetImage"]),
    (11, "File created", Endpoint, None, &["TargetFilename"]),
    (12, "Registry object created or deleted", Endpoint, None, &["TargetObject"]),
    (13, "Registry value set", Endpoint, None, &["TargetObject"]),
    (14, "Registry key or value renamed", Endpoint, None, &["TargetObject"]),
    (15, "File stream created", Endpoint, None, &["TargetFilename"]),
    (16, "Sysmon configuration changed", Endpoint, Some(Low), &["Configuration"]),
    (17, "Pipe created", Endpoint, None, &["PipeName"]),
    (18, "Pipe connected", Endpoint, None, &["PipeName"]),
    (19, "WMI event filter", Endpoint, Some(Medium), &["Name"]),
    (20, "WMI event consumer", Endpoint, Some(Medium), &["Name"]),
    (21, "WMI consumer bound to a filter", Endpoint, Some(Medium), &["Consumer"]),
    (22, "DNS query", Endpoint, None, &["QueryName"]),
    (23, "File deleted, kept in the archive", Endpoint, None, &["TargetFilename"]),
    (24, "Clipboard changed", Endpoint, None, IMAGE),
    (25, "Process tampering", Endpoint, Some(High), IMAGE),
    (26, "File deleted", Endpoint, None, &["TargetFilename"]),
    (27, "Executable file blocked", Endpoint, Some(Medium), &["TargetFilename"]),
    (28, "File shredding blocked", Endpoint, Some(Medium), &["TargetFilename"]),
    (29, "Executable file created", Endpoint, None, &["TargetFilename"]),
];

const SECURITY: [Row; 56] = [
    (1102, "The audit log was cleared", Endpoint, Some(High), &["SubjectUserName"]),
    (4608, "Windows is starting up", Endpoint, None, &[]),
    (4616, "The system time was changed", Endpoint, Some(Low), &["SubjectUserName"]),
    (4624, "An account was logged on", Identity, None, USER),
    (4625, "An account failed to log on", Identity, Some(Low), USER),
    (4634, "An account was logged off", Identity, None, USER),
    (4647, "A user began to log off", Identity, None, USER),
    (4648, "A logon with explicit credentials", Identity, Some(Low), USER),
    (4656, "A handle to an object was requested", Endpoint, None, &["ObjectName"]),
    (4657, "A registry value was modified", Endpoint, None, &["ObjectName"]),
    (4658, "The handle to an object was closed", Endpoint, None, &["ProcessName"]),
    (4660, "An object was deleted", Endpoint, None, &["ProcessName"]),
    (4661, "A handle to a directory object was requested", Identity, None, &["ObjectName"]),
    (4662, "An operation on a directory object", Identity, None, &["ObjectName"]),
    (4663, "An object was accessed", Endpoint, None, &["ObjectName"]),
    (4670, "Permissions on an object were changed", Endpoint, None, &["ObjectName"]),
    (4672, "Special privileges were assigned to a logon", Identity, None, &["SubjectUserName"]),
    (4673, "A privileged service was called", Endpoint, None, &["ProcessName"]),
    (4674, "An operation on a privileged object", Endpoint, None, &["ObjectName"]),
    (4688, "A process was created", Endpoint, None, PROCESS),
    (4689, "A process has exited", Endpoint, None, PROCESS),
    (4690, "A handle to an object was duplicated", Endpoint, None, &[]),
    (4697, "A service was installed", Endpoint, Some(Medium), &["ServiceName"]),
    (4698, "A scheduled task was created", Endpoint, Some(Low), &["TaskName"]),
    (4702, "A scheduled task was updated", Endpoint, Some(Low), &["TaskName"]),
    (4703, "A user right was adjusted", Identity, None, USER),
    (4719, "The audit policy was changed", Endpoint, Some(High), &["SubjectUserName"]),
    (4720, "A user account was created", Identity, Some(Low), USER),
    (4722, "A user account was enabled", Identity, Some(Low), USER),
    (4723, "A change of a password was tried", Identity, None, USER),
    (4724, "A reset of a password was tried", Identity, Some(Low), USER),
    (4725, "A user account was disabled", Identity, None, USER),
    (4726, "A user account was deleted", Identity, Some(Low), USER),
    (4728, "A member was added to a global group", Identity, Some(Medium), MEMBER),
    (4732, "A member was added to a local group", Identity, Some(Medium), MEMBER),
    (4738, "A user account was changed", Identity, Some(Low), USER),
    (4740, "A user account was locked out", Identity, Some(Medium), USER),
    (4741, "A computer account was created", Identity, Some(Low), USER),
    (4756, "A member was added to a universal group", Identity, Some(Medium), MEMBER),
    (4768, "A Kerberos ticket was requested", Identity, None, USER),
    (4769, "A Kerberos service ticket was requested", Identity, None, &["ServiceName"]),
    (4771, "Kerberos pre-authentication failed", Identity, Some(Low), USER),
    (4776, "Credentials were checked", Identity, None, USER),
    (4778, "A session was reconnected", Identity, None, &["AccountName"]),
    (4798, "Local group membership of a user was listed", Identity, None, USER),
    (4799, "Members of a local group were listed", Identity, None, USER),
    (5140, "A network share was accessed", Endpoint, None, &["ShareName"]),
    (5145, "A network share object was checked", Endpoint, None, &["RelativeTargetName", "ShareName"]),
    (5152, "A packet was blocked by the filtering platform", Endpoint, Some(Low), &["Application"]),
    (5154, "Listening on a port was permitted", Endpoint, None, &["Application"]),
    (5156, "A connection was permitted", Endpoint, None, &["Application"]),
    (5157, "A connection was blocked", Endpoint, Some(Low), &["Application"]),
    (5158, "A bind to a local port was permitted", Endpoint, None, &["Application"]),
    (5379, "Credential Manager credentials were read", Identity, None, &["SubjectUserName"]),
    (5447, "A filtering platform filter was changed", Endpoint, None, &["FilterName"]),
    (6416, "A new external device was recognised", Endpoint, None, &["DeviceDescription"]),
];

const OTHERS: [(&str, Row); 9] = [
    ("Eventlog", (104, "An event log was cleared", Endpoint, Some(High), &["Channel"])),
    ("Eventlog", (1102, "The audit log was cleared", Endpoint, Some(High), &["SubjectUserName"])),
    ("Service Control Manager", (7045, "A service was installed", Endpoint, Some(Medium), &["ServiceName"])),
    ("Service Control Manager", (7036, "A service changed its state", Endpoint, None, &["param1"])),
    ("PowerShell", (4103, "PowerShell pipeline executed", Endpoint, None, &[])),
    ("PowerShell", (4104, "PowerShell script block", Endpoint, None, &["Path"])),
    ("Windows Defender", (1116, "Malware was detected", Endpoint, Some(High), &["Threat Name"])),
    ("Windows Defender", (1117, "Malware was acted on", Endpoint, Some(High), &["Threat Name"])),
    ("Windows Defender", (5001, "Real-time protection was disabled", Endpoint, Some(High), &[])),
];

/// What is known of event `id` of `provider`.
#[must_use]
pub fn known(id: u32, sysmon: bool, provider: &str) -> Option<Known> {
    let row = if sysmon {
        SYSMON.iter().find(|row| row.0 == id)
    } else if provider.contains("Security") || provider.is_empty() {
        SECURITY.binary_search_by_key(&id, |row| row.0).ok().map(|index| &SECURITY[index])
    } else {
        OTHERS.iter().find(|(name, row)| row.0 == id && provider.contains(name)).map(|(_, row)| row)
    };
    row.map(|&(_, name, category, at_least, subjects)| Known { name, category, at_least, subjects })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_events_stand_in_order() {
        assert!(SECURITY.is_sorted_by_key(|row| row.0));
    }
}
