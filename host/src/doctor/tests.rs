//! Checks against a made-up root folder: first as it should be, then with one thing wrong at a time.

use super::*;
use std::time::Duration;

struct Root(PathBuf);

impl Root {
    /// An instance on which two enclaves of 1024 MiB and two processors can start.
    fn new(name: &str) -> Root {
        let path = std::env::temp_dir().join(format!("adyton-doctor-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        let root = Root(path);
        for (file, text) in [
            ("dev/nitro_enclaves", ""),
            ("dev/vsock", ""),
            ("sys/module/nitro_enclaves/parameters/ne_cpus", "2-3,6-7\n"),
            ("etc/nitro_enclaves/allocator.yaml", "---\n# two\nmemory_mib: 2048\ncpu_count: 4\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "1\n"),
            ("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "1\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "512\n"),
            ("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "512\n"),
            ("run/systemd/timesync/synchronized", ""),
            ("adyton.eif", ".eif and so on"),
        ] {
            root.write(file, text);
        }
        root
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.0.join(file)).unwrap();
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            root: self.0.clone(),
            enclaves: 2,
            cpus: 2,
            memory_mib: 1024,
            eif: Some(self.0.join("adyton.eif")),
            release: None,
            audit: Some(self.0.join("audit")),
            nitro_cli: NitroCli::new(self.0.join("no-nitro-cli")),
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn state(checks: &[Check], name: &str) -> State {
    checks.iter().find(|check| check.name == name).unwrap().state
}

#[tokio::test]
async fn an_instance_that_is_ready_has_nothing_wrong_but_what_is_not_there() {
    let root = Root::new("ready");
    let checks = root.wanted().checks().await;
    for check in &checks {
        let expected = match check.name {
            // There is none in the made-up folder, and no release was named.
            "nitro_cli" => State::Wrong,
            "release" => State::Skipped,
            _ => State::Good,
        };
        assert_eq!(check.state, expected, "{check:?}");
        assert_eq!(
            check.advice.is_empty(),
            [State::Good, State::Skipped].contains(&check.state),
            "{check:?}"
        );
    }
    assert!(fs::read_dir(root.0.join("audit")).unwrap().next().is_none(), "a probe was left behind");
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_found_and_has_an_advice() {
    type Change = fn(&Root, &mut Wanted);
    let table: [(&str, State, Change); 15] = [
        ("nitro_device", State::Wrong, |root, _| root.remove("dev/nitro_enclaves")),
        ("vsock", State::Wrong, |root, _| root.remove("dev/vsock")),
        ("processors", State::Wrong, |root, _| {
            root.write("sys/module/nitro_enclaves/parameters/ne_cpus", "2-3");
        }),
        ("processors", State::Wrong, |root, _| {
            root.write("sys/module/nitro_enclaves/parameters/ne_cpus", "3-2,x");
        }),
        ("allocator", State::Wrong, |root, _| root.remove("etc/nitro_enclaves/allocator.yaml")),
        ("allocator", State::Wrong, |root, _| {
            root.write("etc/nitro_enclaves/allocator.yaml", "memory_mib: 512");
        }),
        ("allocator", State::Wrong, |root, _| {
            root.write("etc/nitro_enclaves/allocator.yaml", "memory_mib: much");
        }),
        ("hugepages", State::Doubtful, |root, _| {
            root.write("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0");
        }),
        ("hugepages", State::Wrong, |root, _| {
            root.write("sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0");
            root.write("sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages", "0");
        }),
        ("image", State::Wrong, |root, _| root.write("adyton.eif", "MZ and so on")),
        ("image", State::Wrong, |_, wanted| wanted.memory_mib = 0),
        ("image", State::Wrong, |root, _| root.remove("adyton.eif")),
        ("release", State::Wrong, |root, wanted| wanted.release = Some(root.0.clone())),
        ("audit", State::Wrong, |root, _| root.write("audit", "a file where a folder should be")),
        ("clock", State::Doubtful, |root, _| root.remove("run/systemd/timesync/synchronized")),
    ];
    for (number, (name, expected, change)) in table.into_iter().enumerate() {
        let root = Root::new(&format!("wrong-{number}"));
        let mut wanted = root.wanted();
        change(&root, &mut wanted);
        let checks = wanted.checks().await;
        assert_eq!(state(&checks, name), expected, "{number} {name}: {checks:?}");
        let check = checks.iter().find(|check| check.name == name).unwrap();
        assert!(!check.advice.is_empty(), "{check:?}");
    }
}

#[test]
fn a_clock_before_the_files_is_wrong() {
    let root = Root::new("clock");
    let past = SystemTime::now() - Duration::from_secs(365 * 86_400);
    assert_eq!(root.wanted().clock(past).state, State::Wrong);
    assert_eq!(root.wanted().clock(SystemTime::now() + Duration::from_secs(60)).state, State::Good);
}

#[test]
fn lists_of_processors_are_counted() {
    for (list, expected) in [("", 0), ("1", 1), ("1-2", 2), ("1,3-5,9", 5), ("x,1", 1), ("5-1", 0)] {
        assert_eq!(count(list), expected, "{list}");
    }
}
