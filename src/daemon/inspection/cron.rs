//! Lines of cron that set the clock: the oldest second master.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::foreign;

const FOLDERS: [&str; 5] = ["etc/cron.d", "etc/cron.hourly", "etc/cron.daily", "etc/cron.weekly", "etc/cron.monthly"];
const FILES: [&str; 1] = ["etc/crontab"];
/// Programs that set the clock when they are called.
const PROGRAMS: [&str; 7] = ["ntpdate", "ntpdate-debian", "ntpdig", "sntp", "rdate", "htpdate", "hwclock"];

/// A line that sets the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronLine {
    /// The file below the root.
    pub file: PathBuf,
    /// Its number, from 1.
    pub line: usize,
    /// The program.
    pub program: &'static str,
}

/// Every one of them; the users' own tables are root's to read, and are not looked at.
pub fn find(root: &Path) -> Vec<CronLine> {
    let in_folders = FOLDERS.iter().flat_map(|folder| {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = entries.map(|entry| Path::new(folder).join(entry.file_name())).collect();
        files.sort();
        files
    });
    FILES.iter().map(PathBuf::from).chain(in_folders).flat_map(|file| lines(root, &file)).collect()
}

fn lines(root: &Path, file: &Path) -> Vec<CronLine> {
    let text = foreign::text(&root.join(file)).unwrap_or_default();
    let numbered = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with('#'));
    let found = numbered.filter_map(|(at, line)| {
        let mut words = line.split(|c: char| c.is_whitespace() || ";&|()".contains(c));
        let program = words.find_map(|word| {
            let name = word.rsplit('/').next()?;
            PROGRAMS.iter().find(|program| **program == name)
        })?;
        // `hwclock --systohc` sets the RTC, and not the clock.
        let sets = *program != "hwclock" || line.contains("hctosys") || line.contains(" -s");
        sets.then(|| CronLine { file: Path::new("/").join(file), line: at + 1, program })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_sets_the_clock_is_found_and_a_comment_is_not() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("etc/cron.d")).unwrap();
        fs::write(root.path().join("etc/crontab"), "# ntpdate x\n0 * * * * root /usr/sbin/ntpdate -u pool\n").unwrap();
        fs::write(root.path().join("etc/cron.d/rtc"), "0 3 * * * root hwclock --systohc\n").unwrap();
        let found = find(root.path());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].program), (2, "ntpdate"));
    }
}
