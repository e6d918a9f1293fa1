//! Looks for what usually keeps enclaves from starting on an instance, and says what to do.
//!
//! # Promises
//! - It changes nothing but for a probe in the folder of the audit log, which it removes.
//! - Every finding that is wrong has an advice. What could not be looked at is said to be so, and is never called good.
//!
//! # Does not
//! - Say anything of the enclave's integrity: that is the client's to verify. The security module is inside the enclave and is not seen
//!   from here.
//!
//! Source: AWS Nitro Enclaves user guide, "Getting started", "Nitro CLI error codes"; Linux, `Documentation/admin-guide/mm/hugetlbpage.rst`.

use crate::audit::Logs;
use crate::blobs::Release;
use crate::nitro::NitroCli;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most of a file of the system that is read.
const MAX_FILE: usize = 64 * 1024;
/// An image has this at its start (AWS `aws-nitro-enclaves-image-format`, `EIF_MAGIC`).
const EIF_MAGIC: &[u8] = b".eif";
/// An enclave's memory must be so many times its image (AWS user guide).
const MEMORY_TO_IMAGE: u64 = 4;
const MIB: u64 = 1 << 20;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Good,
    /// It may do; somebody should look.
    Doubtful,
    /// It keeps enclaves from starting or from answering.
    Wrong,
    /// Not looked at.
    Skipped,
}

impl State {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Doubtful => "doubtful",
            State::Wrong => "wrong",
            State::Skipped => "skipped",
        }
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, a word that does not change.
    pub name: &'static str,
    /// How it came out.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do; empty if there is nothing to do.
    pub advice: String,
}

/// What is to run here.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `/`, or a made-up one.
    pub root: PathBuf,
    /// How many enclaves.
    pub enclaves: u64,
    /// Processors of each.
    pub cpus: u64,
    /// Memory of each, in MiB.
    pub memory_mib: u64,
    /// The image.
    pub eif: Option<PathBuf>,
    /// The release folder.
    pub release: Option<PathBuf>,
    /// The folder of the audit log.
    pub audit: Option<PathBuf>,
    /// AWS's program.
    pub nitro_cli: NitroCli,
}

impl Wanted {
    /// All checks, in the order in which they matter.
    pub async fn checks(&self) -> Vec<Check> {
        vec![
            self.device(),
            self.vsock(),
            self.processors(),
            self.allocator(),
            self.hugepages(),
            self.cli().await,
            self.image(),
            self.release(),
            self.audit(),
            self.clock(SystemTime::now()),
        ]
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn device(&self) -> Check {
        let path = self.at("dev/nitro_enclaves");
        let advice = match fs::OpenOptions::new().read(true).write(true).open(&path) {
            Ok(_) => return good("nitro_device", "/dev/nitro_enclaves can be opened"),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                "start an instance with enclave options enabled, and install aws-nitro-enclaves-cli"
            }
            Err(_) => "run as a member of the group ne (usermod -aG ne USER, then log in anew)",
        };
        wrong("nitro_device", "/dev/nitro_enclaves cannot be opened", advice)
    }

    fn vsock(&self) -> Check {
        if self.at("dev/vsock").exists() || self.at("sys/module/vsock").exists() {
            good("vsock", "the kernel has vsock")
        } else {
            wrong("vsock", "the kernel has no vsock", "modprobe vhost_vsock, or use a kernel that has it")
        }
    }

    /// Those that the driver took from the instance.
    fn processors(&self) -> Check {
        let needed = self.enclaves.saturating_mul(self.cpus);
        let Some(list) = read(&self.at("sys/module/nitro_enclaves/parameters/ne_cpus")) else {
            return skipped("processors", "the driver's list cannot be read");
        };
        let reserved = count(list.trim());
        let found = format!("{reserved} processors are reserved, {needed} are needed");
        if reserved >= needed {
            return good("processors", &found);
        }
        let advice = format!(
            "set cpu_count to {needed} in /etc/nitro_enclaves/allocator.yaml, then systemctl restart nitro-enclaves-allocator"
        );
        wrong("processors", &found, &advice)
    }

    fn allocator(&self) -> Check {
        let Some(yaml) = read(&self.at("etc/nitro_enclaves/allocator.yaml")) else {
            let advice = "copy deploy/systemd/allocator.yaml there, then systemctl enable --now nitro-enclaves-allocator";
            return wrong("allocator", "/etc/nitro_enclaves/allocator.yaml cannot be read", advice);
        };
        let needed = self.enclaves.saturating_mul(self.memory_mib);
        let line = yaml.lines().find_map(|line| line.trim().strip_prefix("memory_mib:"));
        let Some(reserved) = line.and_then(|value| value.trim().parse::<u64>().ok()) else {
            return wrong(
                "allocator",
                "the allocator's file has no memory_mib",
                &format!("set memory_mib to {needed}"),
            );
        };
        let found = format!("the allocator reserves {reserved} MiB, {needed} are needed");
        if reserved >= needed {
            return good("allocator", &found);
        }
        let advice = format!("set memory_mib to {needed}, then systemctl restart nitro-enclaves-allocator");
        wrong("allocator", &found, &advice)
    }

    /// Free ones: enclaves that run hold theirs.
    fn hugepages(&self) -> Check {
        let mut free = 0u64;
        let mut all = 0u64;
        let folders = fs::read_dir(self.at("sys/kernel/mm/hugepages")).into_iter().flatten().flatten();
        for folder in folders {
            let name = folder.file_name();
            let size = name.to_str().and_then(|name| name.strip_prefix("hugepages-")?.strip_suffix("kB"));
            let Some(kib) = size.and_then(|size| size.parse::<u64>().ok()) else { continue };
            let number = |file: &str| {
                read(&folder.path().join(file)).and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0)
            };
            let mib = |pages: u64| pages.saturating_mul(kib) / 1024;
            free = free.saturating_add(mib(number("free_hugepages")));
            all = all.saturating_add(mib(number("nr_hugepages")));
        }
        let needed = self.enclaves.saturating_mul(self.memory_mib);
        let found = format!("{free} MiB of {all} MiB in hugepages are free, {needed} are needed");
        if free >= needed {
            good("hugepages", &found)
        } else if all >= needed {
            doubtful("hugepages", &found, "enclaves that run hold them: nitro-cli describe-enclaves")
        } else {
            let advice =
                "restart nitro-enclaves-allocator; if memory is in pieces, reboot the instance first";
            wrong("hugepages", &found, advice)
        }
    }

    async fn cli(&self) -> Check {
        match self.nitro_cli.describe().await {
            Err(e) => {
                wrong("nitro_cli", &e.to_string(), "install aws-nitro-enclaves-cli, and join the group ne")
            }
            Ok(all) if all.iter().any(|one| one.debug) => {
                let advice = "end it: nitro-cli terminate-enclave --all; no client accepts a debug enclave";
                doubtful("nitro_cli", "an enclave runs in debug mode", advice)
            }
            Ok(all) => good("nitro_cli", &format!("nitro-cli answers; {} enclaves run", all.len())),
        }
    }

    fn image(&self) -> Check {
        let Some(path) = &self.eif else { return skipped("image", "none was named (--eif)") };
        let Ok((size, start)) = begin(path) else {
            let found = format!("{} cannot be read", path.display());
            return wrong("image", &found, "build it with `make eif`, or correct --eif");
        };
        let needed = size.saturating_mul(MEMORY_TO_IMAGE).div_ceil(MIB);
        if start != EIF_MAGIC {
            return wrong("image", "it is no enclave image", "name the .eif file that `make eif` built");
        }
        let found = format!(
            "{} MiB; the enclave's memory must be four times that, and is {} MiB",
            size / MIB,
            self.memory_mib
        );
        if self.memory_mib >= needed {
            good("image", &found)
        } else {
            wrong("image", &found, &format!("give it --memory-mib {needed} or more"))
        }
    }

    fn release(&self) -> Check {
        let Some(folder) = &self.release else { return skipped("release", "none was named (--release)") };
        let Some(weights) = Release::open(folder.clone()).ok().and_then(|release| release.weights_size())
        else {
            let found = format!("{} is no release", folder.display());
            return wrong("release", &found, "make it with `adyton release`");
        };
        let needed = weights.saturating_mul(2).div_ceil(MIB);
        let found = format!("weights of {} MiB, which the enclave holds twice", weights / MIB);
        if self.memory_mib >= needed {
            good("release", &found)
        } else {
            wrong(
                "release",
                &found,
                &format!("give it --memory-mib {needed} and more, or take a smaller model"),
            )
        }
    }

    fn audit(&self) -> Check {
        let Some(folder) = &self.audit else { return skipped("audit", "none was named (--audit)") };
        match Logs::open(folder.clone()) {
            Ok(_) => good("audit", &format!("{} can be written", folder.display())),
            Err(e) => {
                let advice = "give the host's user this folder on a disk with room: without it the enclave answers nothing";
                wrong("audit", &format!("{}: {e}", folder.display()), advice)
            }
        }
    }

    /// The host's own clock decides nothing, but one that is wrong has certificates of others refused.
    fn clock(&self, now: SystemTime) -> Check {
        let files = [self.eif.as_deref(), self.release.as_deref()].into_iter().flatten();
        let newest = files.filter_map(|path| fs::metadata(path).ok()?.modified().ok()).max();
        if newest.is_some_and(|then| now < then) {
            let advice =
                "set the clock: systemctl enable --now chronyd; on EC2 the server is 169.254.169.123";
            return wrong("clock", "the clock is before files that are here", advice);
        }
        let keepers = ["run/systemd/timesync/synchronized", "run/chrony", "var/lib/chrony/drift"];
        if keepers.iter().any(|path| self.at(path).exists()) {
            good("clock", "something keeps the clock")
        } else {
            doubtful("clock", "nothing seems to keep the clock", "systemctl enable --now chronyd")
        }
    }
}

/// How many processors a list such as `2-3,6` names.
fn count(list: &str) -> u64 {
    let one = |part: &str| match part.split_once('-') {
        Some((from, to)) => Some(to.parse::<u64>().ok()?.checked_sub(from.parse().ok()?)?.saturating_add(1)),
        None => part.parse::<u64>().ok().map(|_| 1),
    };
    list.split(',').filter_map(one).fold(0, u64::saturating_add)
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_FILE as u64).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Size and first bytes of a file.
fn begin(path: &Path) -> std::io::Result<(u64, [u8; 4])> {
    use std::io::Read;
    let mut file = fs::File::open(path)?;
    let mut start = [0; 4];
    file.read_exact(&mut start)?;
    Ok((file.metadata()?.len(), start))
}

fn check(name: &'static str, state: State, found: &str, advice: &str) -> Check {
    Check { name, state, found: found.to_owned(), advice: advice.to_owned() }
}

fn good(name: &'static str, found: &str) -> Check {
    check(name, State::Good, found, "")
}

fn doubtful(name: &'static str, found: &str, advice: &str) -> Check {
    check(name, State::Doubtful, found, advice)
}

fn wrong(name: &'static str, found: &str, advice: &str) -> Check {
    check(name, State::Wrong, found, advice)
}

fn skipped(name: &'static str, found: &str) -> Check {
    check(name, State::Skipped, found, "")
}

#[cfg(test)]
mod tests;
