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
complete -c insula -n "__fish_insula_needs_command" -f -a "ps" -d 'List containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "ls" -d 'List containers'
complete -c insula -n "__fish_insula_needs_command" -f -a "rm" -d 'Remove containers whose command has ended'
complete -c insula -n "__fish_insula_needs_command" -f -a "oci" -d 'Run as an OCI runtime (create, start, state, kill, delete, …)'
complete -c insula -n "__fish_insula_needs_command" -f -a "images" -d 'List images'
complete -c insula -n "__fish_insula_needs_command" -f -a "rmi" -d 'Remove images, by name or identifier'
complete -c insula -n "__fish_insula_needs_command" -f -a "image" -d 'Import, list, name, inspect and remove images'
complete -c insula -n "__fish_insula_needs_command" -f -a "inspect" -d 'Show everything about images, as JSON or YAML'
complete -c insula -n "__fish_insula_needs_command" -f -a "prune" -d 'Remove what killed processes left: mounts, cgroups, half-made files'
complete -c insula -n "__fish_insula_needs_command" -f -a "doctor" -d 'Check what this host gives, and say how to mend what is missing'
complete -c insula -n "__fish_insula_needs_command" -f -a "info" -d 'Show the version, the host and where images are kept'
complete -c insula -n "__fish_insula_needs_command" -f -a "version" -d 'Print the version'
complete -c insula -n "__fish_insula_needs_command" -f -a "completion" -d 'Print a completion script for a shell'
complete -c insula -n "__fish_insula_needs_command" -f -a "help" -d 'Explain a command or a topic (exit-codes, environment)'
complete -c insula -n "__fish_insula_using_subcommand run" -l name -d 'The container\'s name [default: made up]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s e -l env -d 'Set a variable; NAME alone passes the caller\'s value' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l env-file -d 'Read variables from a file, one NAME=VALUE per line' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -s u -l user -d 'User name or number, and group [default: the image\'s]' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s w -l workdir -d 'Working directory [default: the image\'s]' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -l entrypoint -d 'Replace the image\'s entrypoint; a JSON list for several words, "" for none' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l hostname -d 'Host name in the container' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s l -l label -d 'Attach a label' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s v -l volume -d 'Mount a host path' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l mount -d 'Mount by fields: type=bind|tmpfs, source=…, target=…, readonly' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l tmpfs -d 'Mount an empty file system in memory; options as size=64m' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l shm-size -d 'Size of /dev/shm' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cpus -d 'How many processors\' time, for example 1.5' -r
complete -c insula -n "__fish_insula_using_subcommand run" -s m -l memory -d 'How much memory, for example 512m' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l pids-limit -d 'How many processes and threads' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l ulimit -d 'Resource limit: nofile=1024:4096' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l isolation -d 'The wall: container, or auto for the strongest one this host gives' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l network -d 'The network: none (loopback only) or host' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cap-add -d 'Add a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l cap-drop -d 'Drop a capability, or ALL' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l security-opt -d 'no-new-privileges, seccomp=unconfined, seccomp=FILE, apparmor=PROFILE, …' -r
complete -c insula -n "__fish_insula_using_subcommand run" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand run" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand run" -s i -l interactive -d 'Pass stdin on to the command'
complete -c insula -n "__fish_insula_using_subcommand run" -s t -l tty -d 'Give the command a terminal'
complete -c insula -n "__fish_insula_using_subcommand run" -l rm -d 'Remove the container when its command has ended'
complete -c insula -n "__fish_insula_using_subcommand run" -s d -l detach -d 'Not built yet: containers run in the foreground'
complete -c insula -n "__fish_insula_using_subcommand run" -l read-only -d 'Make the container\'s root read-only'
complete -c insula -n "__fish_insula_using_subcommand run" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand ps" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand ps" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand ps" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand ps" -s a -l all -d 'Also containers whose command has ended'
complete -c insula -n "__fish_insula_using_subcommand ps" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand ls" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand ls" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand ls" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand ls" -s a -l all -d 'Also containers whose command has ended'
complete -c insula -n "__fish_insula_using_subcommand ls" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand rm" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand rm" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand rm" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand oci" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand oci" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand images" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand images" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand images" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand images" -s q -l quiet -d 'Print identifiers only'
complete -c insula -n "__fish_insula_using_subcommand images" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand rmi" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand rmi" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand rmi" -s f -l force -d 'Also an image with several names, and one that containers use'
complete -c insula -n "__fish_insula_using_subcommand rmi" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "import" -d 'Make an image of a root file system: a tar archive, a directory, or stdin'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "list" -d 'List images'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "ls" -d 'List images'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "inspect" -d 'Show everything about images, as JSON or YAML'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "tag" -d 'Give an image one more name'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "rm" -d 'Remove images, by name or identifier'
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from import list ls inspect tag rm prune" -f -a "prune" -d 'Remove images without a name, and what killed imports left'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from import" -s t -l tag -d 'The image\'s name, with or without a tag; taken from the image that has it' -r
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
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from tag" -s h -l help -d 'Print help'
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
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -s y -l yes -d 'Do not ask'
complete -c insula -n "__fish_insula_using_subcommand image; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand inspect" -s o -l output -d 'Output: table, wide, json, yaml, name, jsonpath=EXPRESSION' -r
complete -c insula -n "__fish_insula_using_subcommand inspect" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand inspect" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand inspect" -s h -l help -d 'Print help'
complete -c insula -n "__fish_insula_using_subcommand prune" -l color -d 'When to colour output: auto, always, never' -r -f -a "auto\t'On a terminal, unless NO_COLOR is set'
always\t'In every case'
never\t'Never'"
complete -c insula -n "__fish_insula_using_subcommand prune" -l store -d 'Where images and containers are kept [default: $INSULA_STORE or /var/lib/insula]' -r -F
complete -c insula -n "__fish_insula_using_subcommand prune" -s h -l help -d 'Print help'
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

complete -c insula -n "__fish_seen_subcommand_from run rmi inspect rm" -f -a "(insula __complete images 2>/dev/null)"
