# Ends a test cluster when nobody uses it any more.
#
#   watchdog.sh watch DIR CHECKS  end the cluster after CHECKS looks, 0.25 s apart, that all found no user
#   watchdog.sh end DIR           end its server now, and remove its data
#
# DIR/users.lock    each user holds it shared
# DIR/start.lock    whoever starts or ends the cluster holds it
# DIR/watchdog.lock the one watchdog holds it
action=$1 dir=$2 checks=${3:-0}

# The server's process, if it is one: a number in an old file may by now be somebody else's.
postmaster() {
    pid=$(head -n 1 "$dir/data/postmaster.pid" 2>/dev/null) && [ "$(readlink "/proc/$pid/cwd")" = "$dir/data" ]
}

end_server() {
    tries=0
    while postmaster; do
        if [ "$tries" = 0 ]; then kill -QUIT "$pid"; fi
        if [ "$tries" = 100 ]; then kill -KILL "$pid"; fi
        tries=$((tries + 1))
        sleep 0.1
    done
    rm -rf "$dir/data"
}

unused() {
    flock --nonblock "$dir/users.lock" true
}

if [ "$action" = end ]; then
    end_server
    exit
fi

trap '' HUP INT
exec 9>"$dir/watchdog.lock"
flock --nonblock 9 || exit 0
while [ -d "$dir" ]; do
    flock "$dir/users.lock" true
    look=0
    while [ "$look" -lt "$checks" ] && unused; do
        look=$((look + 1))
        sleep 0.25
    done
    [ "$look" -lt "$checks" ] && continue
    exec 8>"$dir/start.lock"
    flock 8
    if unused; then
        end_server
        rm -rf "$dir"
        exit
    fi
    exec 8>&-
done
