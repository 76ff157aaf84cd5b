# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_insula_global_optspecs
    string join \n color= store= h/help V/version
end

function __fish_insula_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_insula_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_insula_using_subcommand
    set -l cmd (__fish_insula_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c insula -n "__fish_insula_needs_command" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_needs_command" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_needs_command" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_needs_command" -s V -l version -d 'Print version'
complete -c insula -n "__fish_insula_needs_command" -f -a "run" -d 'Run a command in a new container'
complete -c insula -n "__fish_insula_needs_command" -f -a "create" -d 'Make a container without starting it'
complete -c insula -n "__fish_insula_needs_command" -f -a "start" -d 'Start containers that do not run'
complete -c insula -n "__fish_insula_needs_command" -f -a "stop" -d 'Stop containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "restart" -d 'Stop containers that are up, and start them'
complete -c insula -n "__fish_insula_needs_command" -f -a "ps" -d 'List containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "ls" -d 'List containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "logs" -d 'Show what a container has written'
complete -c insula -n "__fish_insula_needs_command" -f -a "stats" -d 'Show what containers use: processor, memory, disk, network'
complete -c insula -n "__fish_insula_needs_command" -f -a "top" -d 'Show the processes of a container, or all containers and their load'
complete -c insula -n "__fish_insula_needs_command" -f -a "port" -d 'Show which ports of a container are reached from outside'
complete -c insula -n "__fish_insula_needs_command" -f -a "events" -d 'Show what happens to containers, as it happens'
complete -c insula -n "__fish_insula_needs_command" -f -a "exec" -d 'Run a command in a container that runs'
complete -c insula -n "__fish_insula_needs_command" -f -a "shell" -d 'Open the best shell that a container has'
complete -c insula -n "__fish_insula_needs_command" -f -a "attach" -d 'Take part in a container: its output comes here, our input goes there'
complete -c insula -n "__fish_insula_needs_command" -f -a "console" -d 'Work at the console of a whole system; ctrl-] leaves'
complete -c insula -n "__fish_insula_needs_command" -f -a "pause" -d 'Freeze all processes of containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "resume" -d 'Let paused containers go on'
complete -c insula -n "__fish_insula_needs_command" -f -a "unpause" -d 'Let paused containers go on'
complete -c insula -n "__fish_insula_needs_command" -f -a "kill" -d 'Send a signal to containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "wait" -d 'Wait until containers have ended, and print their exit codes'
complete -c insula -n "__fish_insula_needs_command" -f -a "update" -d 'Change limits and the restart policy of containers, at once where they run'
complete -c insula -n "__fish_insula_needs_command" -f -a "rename" -d 'Give a container another name'
complete -c insula -n "__fish_insula_needs_command" -f -a "cp" -d 'Copy files between the host and a container, whether it runs or not'
complete -c insula -n "__fish_insula_needs_command" -f -a "diff" -d 'List the files that a container has changed'
complete -c insula -n "__fish_insula_needs_command" -f -a "commit" -d 'Make an image of a container as it is now'
complete -c insula -n "__fish_insula_needs_command" -f -a "export" -d 'Write a container\'s files as a tar archive'
complete -c insula -n "__fish_insula_needs_command" -f -a "generate" -d 'Write files for the host\'s service manager'
complete -c insula -n "__fish_insula_needs_command" -f -a "rm" -d 'Remove containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "oci" -d 'Run as an OCI runtime (create, start, state, kill, delete, …)'
complete -c insula -n "__fish_insula_needs_command" -f -a "pull" -d 'Bring an image from a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "push" -d 'Bring an image to a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "build" -d 'Make an image of a Containerfile (Dockerfile) and a directory of files'
complete -c insula -n "__fish_insula_needs_command" -f -a "images" -d 'List images'
complete -c insula -n "__fish_insula_needs_command" -f -a "tag" -d 'Give an image one more name'
complete -c insula -n "__fish_insula_needs_command" -f -a "rmi" -d 'Remove images, by name or identifier'
complete -c insula -n "__fish_insula_needs_command" -f -a "image" -d 'Build, import, export, list, name, inspect, check, mount and remove images'
complete -c insula -n "__fish_insula_needs_command" -f -a "volume" -d 'Make, list, inspect and remove volumes'
complete -c insula -n "__fish_insula_needs_command" -f -a "inspect" -d 'Show everything about containers or images, as JSON or YAML'
complete -c insula -n "__fish_insula_needs_command" -f -a "login" -d 'Keep a name and password for a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "logout" -d 'Forget the name and password for a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "df" -d 'Show how much of the disk images and containers take'
complete -c insula -n "__fish_insula_needs_command" -f -a "prune" -d 'Remove what killed processes left: mounts, cgroups, half-made files'
complete -c insula -n "__fish_insula_needs_command" -f -a "system" -d 'Disk usage, and removing everything that nobody needs'
complete -c insula -n "__fish_insula_needs_command" -f -a "doctor" -d 'Check what this host gives, and say how to mend what is missing'
complete -c insula -n "__fish_insula_needs_command" -f -a "info" -d 'Show the version, the host and where images are kept'
complete -c insula -n "__fish_insula_needs_command" -f -a "version" -d 'Print the version'
complete -c insula -n "__fish_insula_needs_command" -f -a "completion" -d 'Print a completion script for a shell'
complete -c insula -n "__fish_insula_needs_command" -f -a "help" -d 'Explain a command or a topic (exit-codes, environment)'
complete -c insula -n "__fish_insula_using_subcommand run" -l sig-proxy -d 'Pass signals on to it [default: true]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand run" -l detach-keys -d 'The keys that leave' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l name -d 'The container\'s name [default: made up]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cidfile -d 'Write the container\'s identifier to a new file' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -l pull -d 'When to ask a registry for the image: missing, always, never' -r -f -a "missing\t''
always\t''
never\t''"
complete -c insula -n "__fish_insula_using_subcommand run" -l platform -d 'The platform of the image to pull [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand run" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand run" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -l restart -d 'When to start it again: no, always, unless-stopped, on-failure[:COUNT]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l health-cmd -d 'Check its health by this line of the shell' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l health-interval -d 'Time between checks [default: the image\'s, or 30s]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l health-timeout -d 'How long a check may take [default: the image\'s, or 30s]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l health-start-period -d 'Failures before this has passed do not count [default: the image\'s, or 0]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l health-retries -d 'So many failures in a row make it unhealthy [default: the image\'s, or 3]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l stop-signal -d 'The signal that `stop` sends [default: the image\'s, or TERM]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l stop-timeout -d 'Seconds that `stop` waits before it kills' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l log-driver -d 'Whether its output is kept: file, none' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l log-opt -d 'Bounds of what is kept: max-size=10m, max-file=3' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l systemd -l system -d 'Whether it holds a whole system: auto (when its program is an init), always, false' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s e -l env -d 'Set a variable; NAME alone passes the caller\'s value' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l env-file -d 'Read variables from a file, one NAME=VALUE per line' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -s u -l user -d 'User name or number, and group [default: the image\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s w -l workdir -d 'Working directory [default: the image\'s]' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -l entrypoint -d 'Replace the image\'s entrypoint; a JSON list for several words, "" for none' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l hostname -d 'Host name in the container' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l group-add -d 'Also of this group: a name or a number' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l add-host -d 'Add a line to /etc/hosts' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l dns -d 'Ask this server for names, with --network host' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s l -l label -d 'Attach a label' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s v -l volume -d 'Mount a host path or a volume by name; PATH alone is a volume of its own' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l mount -d 'Mount by fields: type=bind|volume|tmpfs, source=…, target=…, readonly' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l tmpfs -d 'Mount an empty file system in memory; options as size=64m' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l secret -d 'Show a file of the host, and keep its content nowhere: FILE or id=NAME,src=FILE' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l device -d 'Give a device of the host; access of r, w and m' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l shm-size -d 'Size of /dev/shm' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cpus -d 'How many processors\' time, for example 1.5' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s m -l memory -d 'How much memory, for example 512m' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l pids-limit -d 'How many processes and threads' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l memory-swap -d 'Memory and swap together; -1 for no limit' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l memory-reservation -d 'What it may keep when memory is short' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cpuset-cpus -d 'Processors that it may run on, for example 0-2,4' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cpu-shares -d 'Its share of busy processors; 1024 is usual' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l oom-score-adj -d 'How early it is killed when memory is out, from -1000 (last) to 1000' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l ulimit -d 'Resource limit: nofile=1024:4096' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l isolation -d 'The wall: container, or auto for the strongest one this host gives' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l network -d 'The network: none (loopback only) or host' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l sysctl -d 'Set a parameter of the kernel in the container\'s namespaces' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l proc-view -d 'Whether /proc shows its own processors, memory and load: auto (a whole system\'s), true, false' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l security-opt -d 'no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, …' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand run" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -s d -l detach -d 'Run it in the background, and print its identifier'
complete -c insula -n "__fish_insula_using_subcommand run" -s i -l interactive -d 'Pass stdin on to the command'
complete -c insula -n "__fish_insula_using_subcommand run" -s t -l tty -d 'Give the command a terminal'
complete -c insula -n "__fish_insula_using_subcommand run" -l rm -d 'Remove the container when its command has ended'
complete -c insula -n "__fish_insula_using_subcommand run" -l no-healthcheck -d 'No check, also not the image\'s'
complete -c insula -n "__fish_insula_using_subcommand run" -l read-only -d 'Make the container\'s root read-only'
complete -c insula -n "__fish_insula_using_subcommand run" -l privileged -d 'All capabilities and devices, nothing hidden or filtered: no wall to speak of'
complete -c insula -n "__fish_insula_using_subcommand run" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand create" -l name -d 'The container\'s name [default: made up]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cidfile -d 'Write the container\'s identifier to a new file' -r -F
complete -c insula -n "__fish_insula_using_subcommand create" -l pull -d 'When to ask a registry for the image: missing, always, never' -r -f -a "missing\t''
always\t''
never\t''"
complete -c insula -n "__fish_insula_using_subcommand create" -l platform -d 'The platform of the image to pull [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand create" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand create" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand create" -l restart -d 'When to start it again: no, always, unless-stopped, on-failure[:COUNT]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l health-cmd -d 'Check its health by this line of the shell' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l health-interval -d 'Time between checks [default: the image\'s, or 30s]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l health-timeout -d 'How long a check may take [default: the image\'s, or 30s]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l health-start-period -d 'Failures before this has passed do not count [default: the image\'s, or 0]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l health-retries -d 'So many failures in a row make it unhealthy [default: the image\'s, or 3]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l stop-signal -d 'The signal that `stop` sends [default: the image\'s, or TERM]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l stop-timeout -d 'Seconds that `stop` waits before it kills' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l log-driver -d 'Whether its output is kept: file, none' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l log-opt -d 'Bounds of what is kept: max-size=10m, max-file=3' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l systemd -l system -d 'Whether it holds a whole system: auto (when its program is an init), always, false' -r
complete -c insula -n "__fish_insula_using_subcommand create" -s e -l env -d 'Set a variable; NAME alone passes the caller\'s value' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l env-file -d 'Read variables from a file, one NAME=VALUE per line' -r -F
complete -c insula -n "__fish_insula_using_subcommand create" -s u -l user -d 'User name or number, and group [default: the image\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand create" -s w -l workdir -d 'Working directory [default: the image\'s]' -r -F
complete -c insula -n "__fish_insula_using_subcommand create" -l entrypoint -d 'Replace the image\'s entrypoint; a JSON list for several words, "" for none' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l hostname -d 'Host name in the container' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l group-add -d 'Also of this group: a name or a number' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l add-host -d 'Add a line to /etc/hosts' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l dns -d 'Ask this server for names, with --network host' -r
complete -c insula -n "__fish_insula_using_subcommand create" -s l -l label -d 'Attach a label' -r
complete -c insula -n "__fish_insula_using_subcommand create" -s v -l volume -d 'Mount a host path or a volume by name; PATH alone is a volume of its own' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l mount -d 'Mount by fields: type=bind|volume|tmpfs, source=…, target=…, readonly' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l tmpfs -d 'Mount an empty file system in memory; options as size=64m' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l secret -d 'Show a file of the host, and keep its content nowhere: FILE or id=NAME,src=FILE' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l device -d 'Give a device of the host; access of r, w and m' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l shm-size -d 'Size of /dev/shm' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cpus -d 'How many processors\' time, for example 1.5' -r
complete -c insula -n "__fish_insula_using_subcommand create" -s m -l memory -d 'How much memory, for example 512m' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l pids-limit -d 'How many processes and threads' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l memory-swap -d 'Memory and swap together; -1 for no limit' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l memory-reservation -d 'What it may keep when memory is short' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cpuset-cpus -d 'Processors that it may run on, for example 0-2,4' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cpu-shares -d 'Its share of busy processors; 1024 is usual' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l oom-score-adj -d 'How early it is killed when memory is out, from -1000 (last) to 1000' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l ulimit -d 'Resource limit: nofile=1024:4096' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l isolation -d 'The wall: container, or auto for the strongest one this host gives' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l network -d 'The network: none (loopback only) or host' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cap-add -d 'Add a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l sysctl -d 'Set a parameter of the kernel in the container\'s namespaces' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l proc-view -d 'Whether /proc shows its own processors, memory and load: auto (a whole system\'s), true, false' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l security-opt -d 'no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, …' -r
complete -c insula -n "__fish_insula_using_subcommand create" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand create" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand create" -s i -l interactive -d 'Pass stdin on to the command'
complete -c insula -n "__fish_insula_using_subcommand create" -s t -l tty -d 'Give the command a terminal'
complete -c insula -n "__fish_insula_using_subcommand create" -l rm -d 'Remove the container when its command has ended'
complete -c insula -n "__fish_insula_using_subcommand create" -l no-healthcheck -d 'No check, also not the image\'s'
complete -c insula -n "__fish_insula_using_subcommand create" -l read-only -d 'Make the container\'s root read-only'
complete -c insula -n "__fish_insula_using_subcommand create" -l privileged -d 'All capabilities and devices, nothing hidden or filtered: no wall to speak of'
complete -c insula -n "__fish_insula_using_subcommand create" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand start" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand start" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand start" -s a -l attach -d 'Stay with it: its output comes here, and its exit code is ours'
complete -c insula -n "__fish_insula_using_subcommand start" -s i -l interactive -d 'Give it our input, too, if it was made with -i'
complete -c insula -n "__fish_insula_using_subcommand start" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand stop" -s t -l timeout -l time -d 'Seconds until it is killed; -1 waits for ever [default: its own, 10]' -r
complete -c insula -n "__fish_insula_using_subcommand stop" -s s -l signal -d 'The signal to send first [default: its own]' -r
complete -c insula -n "__fish_insula_using_subcommand stop" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand stop" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand stop" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand restart" -s t -l timeout -l time -d 'Seconds until it is killed; -1 waits for ever [default: its own, 10]' -r
complete -c insula -n "__fish_insula_using_subcommand restart" -s s -l signal -d 'The signal to send first [default: its own]' -r
complete -c insula -n "__fish_insula_using_subcommand restart" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand restart" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand restart" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand ps" -s n -l last -d 'Only the last so many, up or not' -r
complete -c insula -n "__fish_insula_using_subcommand ps" -s l -l selector -l label -d 'Only those with this label: NAME or NAME=VALUE' -r
complete -c insula -n "__fish_insula_using_subcommand ps" -s f -l filter -d 'Only those whose name, status, image, label or health is VALUE: status=exited' -r
complete -c insula -n "__fish_insula_using_subcommand ps" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand ps" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand ps" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand ps" -s a -l all -d 'Also containers that are not up'
complete -c insula -n "__fish_insula_using_subcommand ps" -l latest -d 'Only the one that was made last, up or not'
complete -c insula -n "__fish_insula_using_subcommand ps" -s q -l quiet -d 'Only identifiers'
complete -c insula -n "__fish_insula_using_subcommand ps" -s w -l watch -d 'Print the list again whenever it changes'
complete -c insula -n "__fish_insula_using_subcommand ps" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand ls" -s n -l last -d 'Only the last so many, up or not' -r
complete -c insula -n "__fish_insula_using_subcommand ls" -s l -l selector -l label -d 'Only those with this label: NAME or NAME=VALUE' -r
complete -c insula -n "__fish_insula_using_subcommand ls" -s f -l filter -d 'Only those whose name, status, image, label or health is VALUE: status=exited' -r
complete -c insula -n "__fish_insula_using_subcommand ls" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand ls" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand ls" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand ls" -s a -l all -d 'Also containers that are not up'
complete -c insula -n "__fish_insula_using_subcommand ls" -l latest -d 'Only the one that was made last, up or not'
complete -c insula -n "__fish_insula_using_subcommand ls" -s q -l quiet -d 'Only identifiers'
complete -c insula -n "__fish_insula_using_subcommand ls" -s w -l watch -d 'Print the list again whenever it changes'
complete -c insula -n "__fish_insula_using_subcommand ls" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand logs" -s n -l tail -d 'Only the last so many lines, or all' -r
complete -c insula -n "__fish_insula_using_subcommand logs" -l since -d 'Only lines of this time or later: 2026-11-20T21:00:00Z, seconds since 1970, or 10m ago' -r
complete -c insula -n "__fish_insula_using_subcommand logs" -l until -d 'Only lines before this time' -r
complete -c insula -n "__fish_insula_using_subcommand logs" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand logs" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand logs" -s f -l follow -d 'Go on until it ends'
complete -c insula -n "__fish_insula_using_subcommand logs" -s t -l timestamps -d 'The time before each line'
complete -c insula -n "__fish_insula_using_subcommand logs" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand stats" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand stats" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand stats" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand stats" -l no-stream -d 'Once, and not again and again'
complete -c insula -n "__fish_insula_using_subcommand stats" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand top" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand top" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand top" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand port" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand port" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand port" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand events" -l since -d 'Also what was from this time on: 2026-11-20T21:00:00Z, seconds since 1970, or 10m ago' -r
complete -c insula -n "__fish_insula_using_subcommand events" -l until -d 'Until this time' -r
complete -c insula -n "__fish_insula_using_subcommand events" -s f -l filter -d 'Only what is so: container=NAME, event=ACTION, image=NAME' -r
complete -c insula -n "__fish_insula_using_subcommand events" -s o -l output -d 'Output: table, json (an object for each line)' -r -f -a "table\t''
json\t''"
complete -c insula -n "__fish_insula_using_subcommand events" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand events" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand events" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand exec" -s e -l env -d 'Set a variable; NAME alone passes the caller\'s value' -r
complete -c insula -n "__fish_insula_using_subcommand exec" -l env-file -d 'Read variables from a file, one NAME=VALUE per line' -r -F
complete -c insula -n "__fish_insula_using_subcommand exec" -s u -l user -d 'User name or number, and group [default: the container\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand exec" -s w -l workdir -d 'Working directory [default: the container\'s]' -r -F
complete -c insula -n "__fish_insula_using_subcommand exec" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand exec" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand exec" -s i -l interactive -d 'Pass stdin on to the command'
complete -c insula -n "__fish_insula_using_subcommand exec" -s t -l tty -d 'Give the command a terminal'
complete -c insula -n "__fish_insula_using_subcommand exec" -s d -l detach -d 'Do not wait for it'
complete -c insula -n "__fish_insula_using_subcommand exec" -l privileged -d 'With every capability'
complete -c insula -n "__fish_insula_using_subcommand exec" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand shell" -s u -l user -d 'User name or number, and group [default: the container\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand shell" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand shell" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand shell" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand attach" -l sig-proxy -d 'Pass signals on to it [default: true]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand attach" -l detach-keys -d 'The keys that leave' -r
complete -c insula -n "__fish_insula_using_subcommand attach" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand attach" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand attach" -l no-stdin -d 'Do not give it our input'
complete -c insula -n "__fish_insula_using_subcommand attach" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand console" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand console" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand console" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand pause" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand pause" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand pause" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand resume" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand resume" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand resume" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand unpause" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand unpause" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand unpause" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand kill" -s s -l signal -d 'The signal, by name or number' -r
complete -c insula -n "__fish_insula_using_subcommand kill" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand kill" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand kill" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand wait" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand wait" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand wait" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand update" -l cpus -d 'How many processors\' time, for example 1.5' -r
complete -c insula -n "__fish_insula_using_subcommand update" -s m -l memory -d 'How much memory, for example 512m' -r
complete -c insula -n "__fish_insula_using_subcommand update" -l pids-limit -d 'How many processes and threads' -r
complete -c insula -n "__fish_insula_using_subcommand update" -l restart -d 'When to start it again: no, always, unless-stopped, on-failure[:COUNT]' -r
complete -c insula -n "__fish_insula_using_subcommand update" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand update" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand update" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand rename" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand rename" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand rename" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand cp" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand cp" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand cp" -s a -l archive -d 'Keep owners, devices and set-user-id'
complete -c insula -n "__fish_insula_using_subcommand cp" -s L -l follow-link -d 'Copy what a link leads to instead of the link'
complete -c insula -n "__fish_insula_using_subcommand cp" -s q -l quiet -d 'Do not say what was copied'
complete -c insula -n "__fish_insula_using_subcommand cp" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand diff" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand diff" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand diff" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand diff" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand commit" -s m -l message -d 'What was changed, for the image\'s history' -r
complete -c insula -n "__fish_insula_using_subcommand commit" -s a -l author -d 'Who changed it' -r
complete -c insula -n "__fish_insula_using_subcommand commit" -s c -l change -d 'Apply a line of a Dockerfile: \'CMD ["bash"]\'' -r
complete -c insula -n "__fish_insula_using_subcommand commit" -s p -l pause -d 'Hold the container still meanwhile [default: true]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand commit" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand commit" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand commit" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand export" -s o -l output -d 'Write to a file [default: stdout]' -r -F
complete -c insula -n "__fish_insula_using_subcommand export" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand export" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand export" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand generate; and not __fish_seen_subcommand_from systemd" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand generate; and not __fish_seen_subcommand_from systemd" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand generate; and not __fish_seen_subcommand_from systemd" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand generate; and not __fish_seen_subcommand_from systemd" -f -a "systemd" -d 'Print a systemd unit that starts a container when the host starts, and stops it when it ends'
complete -c insula -n "__fish_insula_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand generate; and __fish_seen_subcommand_from systemd" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand generate; and __fish_seen_subcommand_from systemd" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand rm" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand rm" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand rm" -s f -l force -d 'Also those that are up: they are killed. A name that is not there is no error'
complete -c insula -n "__fish_insula_using_subcommand rm" -s v -l volumes -d 'Also volumes that were made for them alone'
complete -c insula -n "__fish_insula_using_subcommand rm" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand oci" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand oci" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand pull" -l platform -d 'The platform: OS/ARCHITECTURE[/VARIANT] [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand pull" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand pull" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand pull" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand pull" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand pull" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand pull" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand pull" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand pull" -s a -l all-tags -d 'Every tag of the repository'
complete -c insula -n "__fish_insula_using_subcommand pull" -s q -l quiet -d 'No progress and no talk'
complete -c insula -n "__fish_insula_using_subcommand pull" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand push" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand push" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand push" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand push" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand push" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand push" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand push" -s q -l quiet -d 'No progress and no talk'
complete -c insula -n "__fish_insula_using_subcommand push" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand build" -s f -l file -d 'The Containerfile; - for stdin [default: Containerfile or Dockerfile of the context]' -r -F
complete -c insula -n "__fish_insula_using_subcommand build" -s t -l tag -d 'The image\'s name, with or without a tag; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l build-arg -d 'Set an ARG; without a value it is the variable\'s of this shell; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l target -d 'Build this stage, by name or number, and what it needs [default: the last]' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l pull -d 'When to bring the images of FROM: missing, always, never' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l label -d 'Add a label to the image; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l platform -d 'What the image is for, such as linux/arm64 [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l isolation -d 'The wall behind which RUN runs: container, auto' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l network -d 'The network of RUN: host, none' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l secret -d 'Give a secret to RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l timestamp -d 'The time of the image and all its new files, in seconds since 1970 [default: $SOURCE_DATE_EPOCH, or now and the files\' own]' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l progress -d 'How to tell the progress: auto, plain, json' -r
complete -c insula -n "__fish_insula_using_subcommand build" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand build" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand build" -l iidfile -d 'Write the image\'s identifier to a file' -r -F
complete -c insula -n "__fish_insula_using_subcommand build" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand build" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand build" -l no-cache -d 'Do every step again'
complete -c insula -n "__fish_insula_using_subcommand build" -l no-sync -d 'Do not wait for the disk: faster, and a power failure may lose the image'
complete -c insula -n "__fish_insula_using_subcommand build" -s q -l quiet -d 'Print the identifier only; the output of a step that fails all the same'
complete -c insula -n "__fish_insula_using_subcommand build" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand images" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand images" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand images" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand images" -s q -l quiet -d 'Print identifiers only'
complete -c insula -n "__fish_insula_using_subcommand images" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand tag" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand tag" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand tag" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand rmi" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand rmi" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand rmi" -s f -l force -d 'Also an image with several names, and one that containers use'
complete -c insula -n "__fish_insula_using_subcommand rmi" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "build" -d 'Make an image of a Containerfile (Dockerfile) and a directory of files'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "import" -d 'Bring images in: a root file system, an OCI layout or a docker archive'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "export" -d 'Write images to a file or directory: OCI layout, docker archive, or root file system'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "save" -d 'Write images to a file or directory: OCI layout, docker archive, or root file system'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "list" -d 'List images'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "ls" -d 'List images'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "pull" -d 'Bring an image from a registry'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "push" -d 'Bring an image to a registry'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "inspect" -d 'Show everything about containers or images, as JSON or YAML'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "referrers" -d 'List what a registry keeps about an image: signatures, attestations, …'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "history" -d 'Show how an image came to be: a line for each step, the newest first'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "tag" -d 'Give an image one more name'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "verify" -d 'Check that images are what they were: every blob, every layer, every byte'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "mount" -d 'Mount an image\'s files read-only and print where; without an image, list what is mounted'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "unmount" -d 'Unmount images, by name, identifier or directory'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "umount" -d 'Unmount images, by name, identifier or directory'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "rm" -d 'Remove images, by name or identifier'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "prune" -d 'Remove images without a name, cut transfers, and what killed processes left'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -s f -l file -d 'The Containerfile; - for stdin [default: Containerfile or Dockerfile of the context]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -s t -l tag -d 'The image\'s name, with or without a tag; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l build-arg -d 'Set an ARG; without a value it is the variable\'s of this shell; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l target -d 'Build this stage, by name or number, and what it needs [default: the last]' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l pull -d 'When to bring the images of FROM: missing, always, never' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l label -d 'Add a label to the image; may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l platform -d 'What the image is for, such as linux/arm64 [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l isolation -d 'The wall behind which RUN runs: container, auto' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l network -d 'The network of RUN: host, none' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l secret -d 'Give a secret to RUN --mount=type=secret: id=NAME,src=FILE or id=NAME,env=VARIABLE' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l timestamp -d 'The time of the image and all its new files, in seconds since 1970 [default: $SOURCE_DATE_EPOCH, or now and the files\' own]' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l progress -d 'How to tell the progress: auto, plain, json' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l iidfile -d 'Write the image\'s identifier to a file' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l no-cache -d 'Do every step again'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -l no-sync -d 'Do not wait for the disk: faster, and a power failure may lose the image'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Print the identifier only; the output of a step that fails all the same'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s t -l tag -d 'The image\'s name, with or without a tag; taken from the image that has it' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l format -d 'What it is: auto, oci, docker, rootfs' -r -f -a "auto\t''
oci\t''
docker\t''
rootfs\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s c -l change -d 'Set part of the configuration, as a line of a Dockerfile (CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR); may be repeated' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l message -d 'A sentence for the image\'s history' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l architecture -d 'The architecture the image is for [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -l no-sync -d 'Do not wait for the disk: faster, and a power failure may lose the image'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s q -l quiet -d 'Print the identifier only'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from export" -s o -l output -d 'Where to; - is stdout' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from export" -l format -d 'The form: oci, oci-dir, docker, rootfs, dir' -r -f -a "oci\t''
oci-dir\t''
docker\t''
rootfs\t''
dir\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from export" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from export" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from save" -s o -l output -d 'Where to; - is stdout' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from save" -l format -d 'The form: oci, oci-dir, docker, rootfs, dir' -r -f -a "oci\t''
oci-dir\t''
docker\t''
rootfs\t''
dir\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from save" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from save" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from save" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from list" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from list" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from list" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print identifiers only'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from ls" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from ls" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from ls" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print identifiers only'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l platform -d 'The platform: OS/ARCHITECTURE[/VARIANT] [default: this host\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -s a -l all-tags -d 'Every tag of the repository'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -s q -l quiet -d 'No progress and no talk'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from pull" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l progress -d 'How to show progress: auto, plain, json, none' -r -f -a "auto\t'Bars on a terminal, lines elsewhere'
plain\t'A line for each layer that is there'
json\t'One JSON object per line'
none\t'Nothing'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l parallel -d 'How many layers to transfer at once' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -s q -l quiet -d 'No progress and no talk'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from push" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -l type -d 'Only this kind: container, image' -r -f -a "container\t''
image\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -l artifact-type -d 'Only those of this type' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from referrers" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from history" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from history" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from history" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from verify" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from verify" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from verify" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from verify" -s a -l all -d 'Every image of the store'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from mount" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from mount" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from mount" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from mount" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from unmount" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from unmount" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from unmount" -s a -l all -d 'Everything that is mounted'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from unmount" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from umount" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from umount" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from umount" -s a -l all -d 'Everything that is mounted'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from umount" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from rm" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from rm" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from rm" -s f -l force -d 'Also an image with several names, and one that containers use'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -s a -l all -d 'Also images that have a name and that no container uses'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -s y -s f -l yes -l force -d 'Do not ask'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "create" -d 'Make a volume; one that is there stays as it is'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "ls" -d 'List volumes'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "list" -d 'List volumes'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "inspect" -d 'Show all that is known of volumes'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "rm" -d 'Remove volumes that no container has, with all that is in them'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "remove" -d 'Remove volumes that no container has, with all that is in them'
complete -c insula -n "__fish_insula_using_subcommand volume; and not __fish_seen_subcommand_from create ls list inspect rm remove prune" -f -a "prune" -d 'Remove volumes without a name of a person\'s choice that no container has'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from create" -s l -l label -d 'Attach a label' -r
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from create" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from create" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from create" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from ls" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from ls" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from ls" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Only names'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from list" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from list" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from list" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Only names'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from inspect" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from inspect" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from rm" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from rm" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from rm" -s f -l force -d 'A name that is not there is no error'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from remove" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from remove" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from remove" -s f -l force -d 'A name that is not there is no error'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from prune" -s a -l all -d 'Also those with a name'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from prune" -s y -l yes -l force -d 'Do not ask'
complete -c insula -n "__fish_insula_using_subcommand volume; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand inspect" -l type -d 'Only this kind: container, image' -r -f -a "container\t''
image\t''"
complete -c insula -n "__fish_insula_using_subcommand inspect" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand inspect" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand inspect" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand login" -s u -l username -d 'The user\'s name; asked for on a terminal' -r
complete -c insula -n "__fish_insula_using_subcommand login" -l tls-verify -d 'Check certificates and refuse plain HTTP: true or false [default: by registries.conf]' -r -f -a "true\t''
false\t''"
complete -c insula -n "__fish_insula_using_subcommand login" -l cert-dir -d 'Certificates for the registry (*.crt, *.cert and *.key), instead of those in certs.d' -r -F
complete -c insula -n "__fish_insula_using_subcommand login" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand login" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand login" -l password-stdin -d 'Read the password from stdin'
complete -c insula -n "__fish_insula_using_subcommand login" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand logout" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand logout" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand logout" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand df" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand df" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand df" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand df" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand system; and not __fish_seen_subcommand_from df prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand system; and not __fish_seen_subcommand_from df prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand system; and not __fish_seen_subcommand_from df prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand system; and not __fish_seen_subcommand_from df prune" -f -a "df" -d 'Show how much of the disk images and containers take'
complete -c insula -n "__fish_insula_using_subcommand system; and not __fish_seen_subcommand_from df prune" -f -a "prune" -d 'Remove ended containers, images without a name, cut transfers, and what killed processes left'
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from df" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from df" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from df" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from df" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from prune" -s a -l all -d 'Also images that have a name and that no container uses'
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from prune" -s y -s f -l yes -l force -d 'Do not ask'
complete -c insula -n "__fish_insula_using_subcommand system; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand doctor" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand doctor" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand doctor" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand info" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand info" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand info" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand info" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand version" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand version" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand version" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand version" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand completion" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand completion" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand completion" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand help" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand help" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand help" -s h -l help -d 'Print help'

complete -c insula -n "__fish_seen_subcommand_from run create rmi inspect; or __fish_seen_subcommand_from image; and __fish_seen_subcommand_from rm" -f -a "(insula __complete images 2>/dev/null)"
complete -c insula -n "not __fish_seen_subcommand_from image; and __fish_seen_subcommand_from start stop restart logs exec shell attach console stats top port cp diff commit export inspect pause resume kill wait update rename rm" -f -a "(insula __complete guests 2>/dev/null)"
