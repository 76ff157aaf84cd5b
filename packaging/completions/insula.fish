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
complete -c insula -n "__fish_insula_needs_command" -f -a "pull" -d 'Bring an image from a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "push" -d 'Bring an image to a registry'
complete -c insula -n "__fish_insula_needs_command" -f -a "build" -d 'Make an image of a Containerfile (Dockerfile) and a directory of files'
complete -c insula -n "__fish_insula_needs_command" -f -a "images" -d 'List images'
complete -c insula -n "__fish_insula_needs_command" -f -a "tag" -d 'Give an image one more name'
complete -c insula -n "__fish_insula_needs_command" -f -a "rmi" -d 'Remove images, by name or identifier'
complete -c insula -n "__fish_insula_needs_command" -f -a "image" -d 'Build, import, export, list, name, inspect, check, mount and remove images'
complete -c insula -n "__fish_insula_needs_command" -f -a "inspect" -d 'Show everything about images, as JSON or YAML'
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
complete -c insula -n "__fish_insula_using_subcommand run" -l name -d 'The container\'s name [default: made up]' -r
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
complete -c insula -n "__fish_insula_using_subcommand image; and not __fish_seen_subcommand_from build import export save list ls pull push inspect referrers history tag verify mount unmount umount rm prune" -f -a "inspect" -d 'Show everything about images, as JSON or YAML'
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

complete -c insula -n "__fish_seen_subcommand_from run rmi inspect rm" -f -a "(insula __complete images 2>/dev/null)"
