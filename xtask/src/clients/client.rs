//! The clients: their scenarios, who runs them, how one is made ready and cleared up.

use super::hierarchy::Layout;
use super::shell::User;

/// One client in one way of using it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) user: User,
    /// The file of its scenarios.
    pub(crate) scenarios: &'static str,
    /// Makes the image `busybox` known to it.
    pub(crate) prepare: &'static str,
    /// Removes whatever a failed scenario has left.
    pub(crate) clear: &'static str,
}

impl Client {
    /// podman alone leaves its cgroups to systemd; the daemons are told once, by the enclosure.
    pub(crate) fn works_in(&self, layout: Layout) -> bool {
        layout != Layout::Systemd || self.name == "podman"
    }
}

const PODMAN: &str = include_str!("scenarios/podman.txt");

/// All of them, in the order in which they are run.
pub(crate) const CLIENTS: &[Client] = &[
    Client {
        name: "podman",
        user: User::Root,
        scenarios: PODMAN,
        prepare: PODMAN_PREPARE,
        clear: PODMAN_CLEAR,
    },
    Client {
        name: "podman rootless",
        user: User::Ordinary,
        scenarios: PODMAN,
        prepare: PODMAN_PREPARE,
        clear: PODMAN_CLEAR,
    },
    Client {
        name: "docker",
        user: User::Root,
        scenarios: include_str!("scenarios/docker.txt"),
        prepare: "docker import --change 'CMD [\"/bin/sh\"]' $WORK/busybox.tar busybox
            docker run --rm --net host busybox true",
        clear: "docker rm --force $(docker ps --all --quiet)",
    },
    Client {
        name: "containerd",
        user: User::Root,
        scenarios: include_str!("scenarios/containerd.txt"),
        // ctr takes no bare tar; docker makes an image archive of it.
        prepare: "docker image inspect busybox >/dev/null ||
                docker import --change 'CMD [\"/bin/sh\"]' $WORK/busybox.tar busybox
            docker save busybox | ctr images import -
            ctr run --rm --runc-binary $RUNTIME docker.io/library/busybox:latest warm true",
        clear: "for task in $(ctr task ls -q); do
                ctr task kill -s KILL $task; sleep 0.5; ctr task rm --force $task; done
            for one in $(ctr container ls -q); do ctr container rm $one; done",
    },
    Client {
        name: "buildah",
        user: User::Root,
        scenarios: include_str!("scenarios/buildah.txt"),
        // They share their images and what podman makes first.
        prepare: PODMAN_PREPARE,
        clear: "buildah rm --all",
    },
];

/// The first run makes what later ones find: locks, parent cgroups, rootless podman's process.
const PODMAN_PREPARE: &str = "podman import --change CMD=/bin/sh $WORK/busybox.tar busybox
podman run --rm busybox true
test $(id -u) != 0 || podman run --rm --net bridge busybox true";

const PODMAN_CLEAR: &str = "podman pod rm --all --force --time 0
podman rm --all --force --time 0
podman volume rm --all --force
podman secret rm --all";
