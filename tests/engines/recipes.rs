//! The recipes of docs/recipes.md for containers, and the examples that they are from: with the host's program and page where they
//! look for them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Failed;

use crate::compose;
use crate::support::gate_page::{proven, shut};
use crate::support::recipes::recipe;
use crate::support::{CLOCKGATE, Ours, Outcome, fail, laboratory, small, until, until_some};
use crate::world::{SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// In a world where nobody else has the host's own page.
pub const UNIFIED: &[Trial] = &[("the_compose_file_of_the_examples_and_the_recipes_do_what_they_say", "", all)];

/// The image of this release.
const IMAGE: &str = concat!("localhost/clockgate:", env!("CARGO_PKG_VERSION"));
/// What stands for programs of images from registries.
const PYTHON: &str = "#!/bin/sh\necho \"python3 runs $2\"\n";
/// What the machine of the test lacks: a network, and limits that root may set elsewhere.
const DOCKER: &str = "#!/bin/sh\ncase $1 in\nrun) shift; exec /usr/bin/docker run --network none \"$@\" ;;\nesac\nexec /usr/bin/docker \"$@\"\n";
/// By crun, which needs no cgroup.
const PODMAN: &str = "#!/bin/sh\nshift\n\
    exec /usr/bin/podman --runtime /usr/bin/crun run --cgroups disabled --network none --log-driver k8s-file \"$@\"\n";

fn all(world: &World, _: &Wrapper, project: &str) -> Outcome {
    let gate = Wrapper::of_the_host(world)?;
    symlink(CLOCKGATE, world.inside("/usr/bin/clockgate"))?;
    compose::example(world, &gate, project)?;

    let place = Place::new(world, project)?;
    place.held(&gate, "the recipe of docker", &recipe("docker run")?.commands(), "the clock is right")?;
    place.held(&gate, "the recipe of podman", &recipe("podman run")?.commands(), "the clock is right")?;

    let file = recipe("Compose")?;
    let (name, text) = file.files().next().ok_or("no file")?;
    fs::write(place.folder.join(name), text)?;
    let added = serde_json::json!({ "services": { "app": { "network_mode": "none" } } });
    fs::write(place.folder.join("added.json"), added.to_string())?;
    let up = format!("docker compose --file {name} --file added.json --project-name {project}-recipe up");
    place.held(&gate, "the recipe of compose", &up, "the clock is right")?;

    // Nothing but a Dockerfile is sent: the program comes from the image that has it.
    let file = recipe("An image of your own")?;
    let (name, text) = file.files().next().ok_or("no file")?;
    fs::write(place.folder.join(name), text)?;
    done(&mut place.shell(&format!("docker build --tag own - <{name}")))?;
    let mount = "--volume /run/clockgate/public:/run/clockgate/public:ro";
    place.held(&gate, "an image of one's own", &format!("docker run --rm {mount} own"), "the clock is right")?;

    // The example, as its first lines say it: with the small waiter, from the folder where it was built.
    let built = small::build(&["--bins"])?;
    let release = built.iter().find(|path| path.ends_with("clockgate-run")).ok_or("no clockgate-run")?;
    fs::create_dir(place.folder.join("release"))?;
    fs::copy(release, place.folder.join("release/clockgate-run"))?;
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/Dockerfile");
    done(&mut place.shell(&format!("docker build -f {} -t gated release", example.display())))?;
    place.held(&gate, "the example", &format!("docker run --rm {mount} gated"), "the date is read")
}

/// Where a person types: a folder, and in front of the engines what this machine lacks.
struct Place<'a> {
    world: &'a World,
    folder: PathBuf,
}

impl<'a> Place<'a> {
    fn new(world: &'a World, name: &str) -> Result<Self, Failed> {
        let place = Self { world, folder: world.path(&format!("{name}-place")) };
        place.program("bin/docker", DOCKER)?;
        place.program("bin/podman", PODMAN)?;
        let busybox = laboratory::folder().join("engines/bin/busybox");
        for image in ["python", "debian"] {
            let bin = place.folder.join(image).join("bin");
            fs::create_dir_all(&bin)?;
            fs::copy(&busybox, bin.join("busybox"))?;
            symlink("busybox", bin.join("sh"))?;
            fs::create_dir_all(place.folder.join(image).join("etc"))?;
            fs::write(place.folder.join(image).join("etc/passwd"), "nobody:x:65534:65534::/:/bin/sh\n")?;
            place.program(&format!("{image}/bin/python3"), PYTHON)?;
            place.program(&format!("{image}/bin/date"), "#!/bin/sh\necho the date is read\n")?;
            done(
                Command::new("tar")
                    .arg("-cf")
                    .arg(place.folder.join(format!("{image}.tar")))
                    .arg("-C")
                    .arg(place.folder.join(image))
                    .arg("."),
            )?;
        }
        for (tar, image) in [("python.tar", "python:3-slim"), ("debian.tar", "debian:bookworm-slim")] {
            done(world.docker(&["import", "-", image]).stdin(fs::File::open(place.folder.join(tar))?))?;
        }
        let python = fs::File::open(place.folder.join("python.tar"))?;
        done(world.podman(&["import", "-", "docker.io/library/python:3-slim"]).stdin(python))?;
        // As `make image` has it: one file.
        done(world.docker(&["import", "-", IMAGE]).stdin(fs::File::open(world.path("empty.tar"))?))?;
        Ok(place)
    }

    fn program(&self, path: &str, text: &str) -> Outcome {
        let path = self.folder.join(path);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(&path, text)?;
        Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
    }

    /// Lines that are typed there. An engine pulls nothing: each image is here.
    fn shell(&self, script: &str) -> Command {
        let mut command = self.world.command("sh");
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.folder.join("bin").display());
        command.args(["-ec", "cd \"$1\"; eval \"$2\"", "sh"]).arg(&self.folder).arg(script);
        command.env("PATH", path).env("DOCKER_BUILDKIT", "0");
        command
    }

    /// That these lines wait at a shut gate, and say so when it is open.
    fn held(&self, gate: &Wrapper, what: &str, script: &str, says: &str) -> Outcome {
        gate.publish(&shut())?;
        let path = self.folder.join("output");
        let output = fs::File::create(&path)?;
        let mut typed = Ours(self.shell(script).stdout(output.try_clone()?).stderr(output).spawn()?);
        let said = || fs::read_to_string(&path).unwrap_or_default();
        until(what, SOON, || said().contains("waiting for the gate")).map_err(|_| format!("{what}: {}", said()))?;
        if said().contains(says) {
            return fail(format!("{what} did not wait: {}", said()));
        }
        gate.publish(&proven())?;
        let ended = until_some(what, SOON, || typed.0.try_wait().ok().flatten());
        let ended = ended.map_err(|_| format!("{what}: {}", said()))?;
        if ended.success() && said().contains(says) {
            Ok(())
        } else {
            fail(format!("{what} ended with {ended}: {}", said()))
        }
    }
}
