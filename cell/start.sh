# First process of a cell: limits, PHP-FPM beside the web server. When one ends the cell ends.
# $7 setpriv, where no process namespace ends what is left: PHP-FPM then ends with its parent.
# $1 nginx  $2 php-fpm  $3 processes  $4 bytes of a file / 512  $5 kB of address space of PHP  $6 configuration
# File descriptor 8 is the socket of the web server, 9 that of PHP; both were made by the launcher.
ulimit -c 0
ulimit -n 1024
ulimit -f "$4"
ulimit -p "$3" 2>/dev/null || ulimit -u "$3"
master=$$
(
  exec 8>&-
  unset NGINX
  ulimit -v "$5"
  [ -z "$7" ] || exec "$7" --pdeathsig TERM "$2" --nodaemonize --fpm-config "$6/php-fpm.conf" $SITEFERRY_PHP_STARTUP
  "$2" --nodaemonize --fpm-config "$6/php-fpm.conf" $SITEFERRY_PHP_STARTUP
  # The first process of a namespace does not even get a signal it has no handler for yet, and nginx may just be starting.
  tries=0
  while [ "$tries" -lt 5000000 ] && kill -TERM "$master" 2>/dev/null; do tries=$((tries + 1)); done
) &
exec 9>&-
unset FPM_SOCKETS SITEFERRY_PHP_STARTUP
exec "$1" -e "$6/log" -c "$6/nginx.conf"
