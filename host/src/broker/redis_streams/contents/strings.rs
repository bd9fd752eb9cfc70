/// The strings of a command in the Redis protocol, and whether that is all that `record` is. Where a length is damaged it
/// goes on behind the next that can be read.
pub(super) fn bulk_strings(record: &[u8]) -> (Vec<&[u8]>, bool) {
    let (mut strings, mut at, mut is_framed) = (Vec::new(), 0, true);
    let count = number_line(record, b'*', &mut at);
    while at < record.len() {
        let mut behind = at;
        let string = number_line(record, b'$', &mut behind).and_then(|length| {
            let end = behind.checked_add(length)?;
            (record.get(end..end.checked_add(2)?)? == b"\r\n").then(|| &record[behind..end])
        });
        match string {
            Some(string) => {
                strings.push(string);
                at = behind + string.len() + 2;
            }
            None => {
                is_framed = false;
                let next = record[at + 1..].windows(3).position(|bytes| bytes == b"\r\n$");
                at = next.map_or(record.len(), |next| at + 1 + next + 2);
            }
        }
    }
    is_framed &= count == Some(strings.len());
    (strings, is_framed)
}

/// A number between `sign` and the end of a line; moves `at` behind it.
fn number_line(record: &[u8], sign: u8, at: &mut usize) -> Option<usize> {
    let line = record.get(*at..)?.strip_prefix(&[sign])?;
    let end = line.iter().take(20).position(|&byte| byte == b'\r')?;
    (line.get(end + 1) == Some(&b'\n')).then_some(())?;
    let number = str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    *at += end + 3;
    Some(number)
}
