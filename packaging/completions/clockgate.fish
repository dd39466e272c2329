# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_clockgate_global_optspecs
    string join \n h/help V/version
end

function __fish_clockgate_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_clockgate_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_clockgate_using_subcommand
    set -l cmd (__fish_clockgate_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c clockgate -n "__fish_clockgate_needs_command" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_needs_command" -s V -l version -d 'Print version'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "agent" -d 'Run the agent'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "run" -d 'Wait for the gate, then execute a command'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "wait" -d 'Wait for the gate'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "sync" -d 'Measure, step and verify the clock, with or without an agent'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "accept" -d 'Accept the clock as it is and open the gate without a proof (root)'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "measure" -d 'Ask every reference once and print each answer'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "explain" -d 'Say whether the clock is what an error message is about, and what to do next'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "doctor" -d 'Find out what is wrong with the clock, and why'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "status" -d 'Print the state of the gate'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "history" -d 'Print what happened to the clock of this host'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "tolerances" -d 'Print how far off a clock may be for what people do with it'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "report" -d 'Report whether anything was wrong with the clock, and how badly'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "notify" -d 'Notify the agent of a suspend, resume, snapshot or restore'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "thaw" -d 'Thaw the containers that the agent left frozen'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "vm" -d 'Notify the agent in a guest of this hypervisor'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "config" -d 'Check or print the configuration'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "hooks" -d 'Install clockgate as OCI runtime of container engines, or remove it'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "help" -d 'Open a manual page, or list the verbs'
complete -c clockgate -n "__fish_clockgate_needs_command" -f -a "oci" -d 'Hold a container\'s start, then become its OCI runtime'
complete -c clockgate -n "__fish_clockgate_using_subcommand agent" -l root -d 'Read the configuration and the files of the host below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand agent" -l shut-gate -d 'Shut the gate that a dead agent left open, then exit (ExecStopPost=)'
complete -c clockgate -n "__fish_clockgate_using_subcommand agent" -s v -l verbose -d 'Log every event and every action'
complete -c clockgate -n "__fish_clockgate_using_subcommand agent" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l max-wait -d 'How long to wait: 30s, 2min, or `infinity`' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l on-timeout -d 'What to do when that time is over' -r -f -a "open\t'Continue, and print a warning'
fail\t'Refuse'"
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l tolerance -d 'Go on while the clock is wrong by at most this, by two exchanges after the last disruption' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l for -d 'The same by what the clock is needed for, see `clockgate tolerances`; repeatable, the smallest counts' -r -f -a "sigv4\t''
s3\t''
kerberos\t''
jwt\t''
tls\t''
ceph\t''"
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l page -d 'The directory of the gate page' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l no-agent -d 'What to do without a gate page [default: measure if servers are configured, else kernel]' -r -f -a "measure\t'Ask NTP servers until they prove the clock'
kernel\t'Continue once the maximum error of the kernel is within the threshold, even if the clock is stale'
fail\t'Refuse'
open\t'Continue'"
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l server -d 'Ask this NTP server without a gate page; repeatable [default: CLOCKGATE_SERVERS]' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l threshold -d 'The bound that is required without a gate page' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l require-proof -d 'Accept only a gate that is open on a proof'
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -l retry-clock -d 'If CMD fails and its last lines say that a request was refused because of the clock, before it had an effect: wait for the gate and run CMD once more'
complete -c clockgate -n "__fish_clockgate_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l max-wait -d 'How long to wait: 30s, 2min, or `infinity`' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l on-timeout -d 'What to do when that time is over' -r -f -a "open\t'Continue, and print a warning'
fail\t'Refuse'"
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l tolerance -d 'Go on while the clock is wrong by at most this, by two exchanges after the last disruption' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l for -d 'The same by what the clock is needed for, see `clockgate tolerances`; repeatable, the smallest counts' -r -f -a "sigv4\t''
s3\t''
kerberos\t''
jwt\t''
tls\t''
ceph\t''"
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l page -d 'The directory of the gate page' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l no-agent -d 'What to do without a gate page [default: measure if servers are configured, else kernel]' -r -f -a "measure\t'Ask NTP servers until they prove the clock'
kernel\t'Continue once the maximum error of the kernel is within the threshold, even if the clock is stale'
fail\t'Refuse'
open\t'Continue'"
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l server -d 'Ask this NTP server without a gate page; repeatable [default: CLOCKGATE_SERVERS]' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l threshold -d 'The bound that is required without a gate page' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l require-proof -d 'Accept only a gate that is open on a proof'
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l server -d 'Ask only this server; repeatable, and two that agree allow a larger step than one' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l http -d 'Set the clock by the Date of this web server, where NTP is blocked: exact to a second at best, and no proof (root)' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l ca-file -d 'Verify https and NTS servers by the certificate authorities of this PEM file (default: `ca-file` of the configuration, SSL_CERT_FILE, the system\'s, or built-in ones)' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l timeout -d 'How long to try' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l root -d 'Read the configuration below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l reckoned -d 'Set the clock by dead reckoning from the last proof in this boot, if no reference answers; no proof (root)'
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l dry-run -d 'Measure and print what would be done, without changing anything'
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand sync" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand accept" -l bus -d 'The agent\'s socket [default: bus.socket of the configuration]' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand accept" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand accept" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -l server -d 'Ask only this NTP server; repeatable (default: CLOCKGATE_SERVERS, those of the configuration, of the running time daemon, of this cloud, or a public pool: the first that exist)' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -l http -d 'Ask this web server for its Date too, which is exact to a second at best; repeatable (default: `http-references` of the configuration, if no NTP server answers)' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -l ca-file -d 'Verify https and NTS servers by the certificate authorities of this PEM file (default: `ca-file` of the configuration, SSL_CERT_FILE, the system\'s, or built-in ones)' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -l timeout -d 'How long to wait for the answers (default: `measure-timeout` of the configuration)' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand measure" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -s u -l unit -d 'Read this unit\'s messages alone' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l since -d 'Read what was written since then, as journalctl(1) has it, such as `-1h` or `yesterday`' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l root -d 'Read the configuration and the clock\'s past below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l journal -d 'Explain the messages of the system\'s journal since the last boot'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l list -d 'Print every message that is known, with the clock error that it tolerates'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l offline -d 'Ask no server, and the journal only with --journal: judge by the text and by clockgate\'s own history'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l credentials -d 'Read too when this user\'s credentials end: the caches of AWS, AWS_CREDENTIAL_EXPIRATION, the client certificates of a kubeconfig; nothing secret is read or printed'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand explain" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l only -d 'Make only these checks: an id such as `net.dns`, its part before the point, or a section; repeatable' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l skip -d 'Leave these checks out; repeatable' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l server -d 'Ask only this NTP server; repeatable (default: as for `measure`)' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l root -d 'Look at the system below this directory, which need not run: an image' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -s v -l verbose -d 'Print what each result rests on, and what mends it; asks servers what takes up to 10 s'
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l offline -d 'Ask no server: look at this host alone'
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -l strict -d 'Exit with 1 for a warning, too'
complete -c clockgate -n "__fish_clockgate_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l page -d 'The directory of the gate page' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l root -d 'Look for containers, their names, time daemons and the history below this folder' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l cgroup -d 'The cgroup2 hierarchy (found if not given)' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l format -d 'Print for a monitoring system' -r -f -a "openmetrics\t'OpenMetrics 1.0'
prometheus\t'Prometheus\' text format 0.0.4'
nagios\t'A Monitoring Plugins line'"
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l follow -d 'Show each change until interrupted: live on a terminal, else a line or a JSON object a change'
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -l since -d 'Leave out what happened before then: a time, or a duration before now such as `12h`' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -l until -d 'Leave out what happened after then' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -l epoch -d 'Print this epoch of the last boot alone' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -l root -d 'Read the history below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand history" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand tolerances" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand tolerances" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l since -d 'Leave out what happened before then: a time, or a duration before now such as `12h`' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l until -d 'Leave out what happened after then' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l html -d 'Write a page to this file; `-` prints it in place of the text' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l svg -d 'Write a picture to this file; `-` prints it in place of the text' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l root -d 'Read the history below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand report" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l timeout -d 'How long to wait at most' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l time -d 'Supply the time at the start of this command, and wait (resume, post-restore; root): 2026-11-24T12:00:00.25Z, or @1795521600.25 as `date +@%s.%N` prints it' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l bound -d 'The bound of that time, including the delay until this command started' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l bus -d 'The agent\'s socket [default: bus.socket of the configuration]' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l wait -d 'Wait until the gate is shut (suspend, pre-snapshot), or until the clock is proven again (resume, post-restore)'
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -l root -d 'Read the configuration below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -l ledger -d 'The ledger of what was frozen (the configuration\'s if not given)' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -l cgroup -d 'The cgroup2 hierarchy (found if not given)' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -l guard -d 'Be the guard of the agent at the other end of standard input' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand thaw" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and not __fish_seen_subcommand_from notify" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and not __fish_seen_subcommand_from notify" -f -a "notify" -d 'Notify the agents in guests of a suspend, resume, snapshot or restore'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l cid -d 'The vsock CIDs of the guests' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l uds -d 'The Unix sockets of Firecracker or Cloud Hypervisor for their vsock' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l guests -d 'A list of them, a CID or an absolute path a line; `-` is standard input' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l port -d 'The vsock port of the guest\'s agent' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l timeout -d 'How long to wait at most, for all of them together' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l textfile -d 'Write what the guests answered to PATH, for node_exporter\'s textfile collector' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l time -d 'Supply the time as well, and wait: `now`, or the time at the start of this command, 2026-11-24T12:00:00.25Z or @1795521600.25' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l bound -d 'The bound of that time [default, for `now`: the bound of this host\'s gate or kernel clock]' -r
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l virsh -d 'All that run by libvirt and have a vsock, as virsh says'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l wait -d 'Wait until the gate is shut (suspend, pre-snapshot), or until the clock is proven again (resume, post-restore)'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -l root -d 'Read the configuration below DIR instead of /' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -f -a "check" -d 'Check the configuration, the file of `ca-file` and the messages below explain.d, or each FILE by itself; print each error with file, line and key'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -f -a "show" -d 'Print the value and the origin of every key'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and not __fish_seen_subcommand_from check show sample" -f -a "sample" -d 'Print a commented file with the default of every key'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from check" -l root -d 'Read the configuration below DIR instead of /' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from show" -l root -d 'Read the configuration below DIR instead of /' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from sample" -l root -d 'Read the configuration below DIR instead of /' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from sample" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand config; and __fish_seen_subcommand_from sample" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -l root -d 'Change the host below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -f -a "install" -d 'Install clockgate for these targets'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -f -a "remove" -d 'Remove clockgate from these targets, and restore their files'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and not __fish_seen_subcommand_from install remove list" -f -a "list" -d 'Print what is installed, and which containers are held now'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -l oci -d 'The path of clockgate-oci as the engines execute it' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -l root -d 'Change the host below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -l dry-run -d 'Show what would be changed, and change nothing'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -l root -d 'Change the host below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -l dry-run -d 'Show what would be changed, and change nothing'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -l force -d 'Remove it even if some containers can then no longer start'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -l forget -d 'Change no file: it was removed by hand'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from list" -l root -d 'Change the host below this directory' -r -F
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand help" -s h -l help -d 'Print help'
complete -c clockgate -n "__fish_clockgate_using_subcommand notify" -f -a "suspend resume pre-snapshot post-restore"
complete -c clockgate -n "__fish_clockgate_using_subcommand vm; and __fish_seen_subcommand_from notify" -f -a "suspend resume pre-snapshot post-restore"
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from install" -f -a "docker podman podman-hook containerd crio crio-hook nri systemd-sleep"
complete -c clockgate -n "__fish_clockgate_using_subcommand hooks; and __fish_seen_subcommand_from remove" -f -a "docker podman podman-hook containerd crio crio-hook nri systemd-sleep"
complete -c clockgate -n "__fish_clockgate_using_subcommand help" -f -a "run wait hooks tolerances status history report doctor explain measure sync notify vm accept thaw agent config help clockgate oci configuration interfaces errors"
