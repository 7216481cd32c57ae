"""What is accepted where: each directive with a good value in every context, and with bad values in one."""

from cases import Case

GOOD = (
    "absolute_redirect off|access_log off|access_log logs/x.log|access_log logs/x.log combined buffer=8k flush=1m if=$arg_x|"
    "add_header X y|add_header X y always|add_trailer X y|aio off|alias /tmp/|allow all|auth_basic x|auth_basic_user_file x|"
    "auth_delay 1s|auth_request /x|auth_request off|auth_request_set $a $uri|autoindex on|autoindex_exact_size on|"
    "autoindex_format json|autoindex_localtime on|break|charset utf-8|charset_types text/plain|chunked_transfer_encoding off|"
    "client_body_buffer_size 8k|client_body_in_file_only on|client_body_in_single_buffer on|client_body_temp_path x 1 2|"
    "client_body_timeout 5s|client_header_buffer_size 1k|client_header_timeout 5s|client_max_body_size 1m|connection_pool_size 512|"
    "default_type text/x|deny all|directio 4m|directio_alignment 512|disable_symlinks on|error_log logs/x|error_log logs/x info|"
    "error_page 404 /x|etag off|expires 1h|geo $g { default 1; }|gzip on|gzip_buffers 4 8k|gzip_comp_level 2|gzip_disable msie6|"
    "gzip_http_version 1.0|gzip_min_length 10|gzip_proxied any|gzip_static on|gzip_types text/plain|gzip_vary on|hash $uri|"
    "if ($uri) { }|if_modified_since before|ignore_invalid_headers off|index a b|internal|ip_hash|keepalive 4|"
    "keepalive_disable none|keepalive_requests 5|keepalive_time 1h|keepalive_timeout 5s|keepalive_timeout 5s 4s|"
    "large_client_header_buffers 2 1k|least_conn|limit_conn_dry_run on|limit_conn_log_level info|limit_conn_status 429|"
    "limit_conn_zone $uri zone=z1:1m|limit_except GET { deny all; }|limit_rate 1k|limit_rate $arg_x|limit_rate_after 1k|"
    "limit_req_dry_run on|limit_req_log_level info|limit_req_status 429|limit_req_zone $uri zone=z2:1m rate=1r/s|"
    "lingering_close always|lingering_time 5s|lingering_timeout 5s|listen 127.6.0.1:1|location /q { }|log_format f1 x|"
    "log_not_found off|log_subrequest on|map $uri $m1 { default 1; }|map_hash_bucket_size 64|map_hash_max_size 2048|max_ranges 1|"
    "merge_slashes off|msie_padding off|msie_refresh on|open_file_cache max=10|open_file_cache off|open_file_cache_errors on|"
    "open_file_cache_min_uses 2|open_file_cache_valid 5s|open_log_file_cache max=10|output_buffers 1 32k|port_in_redirect off|"
    "postpone_output 1460|proxy_bind 127.0.0.1|proxy_buffer_size 4k|proxy_buffering off|proxy_buffers 8 4k|"
    "proxy_busy_buffers_size 8k|proxy_cache_bypass $arg_x|proxy_connect_timeout 5s|proxy_cookie_domain a b|"
    "proxy_cookie_flags a secure|proxy_cookie_path a b|proxy_headers_hash_bucket_size 64|proxy_headers_hash_max_size 512|"
    "proxy_hide_header X|proxy_http_version 1.1|proxy_ignore_client_abort on|proxy_ignore_headers Expires|"
    "proxy_intercept_errors on|proxy_limit_rate 1k|proxy_max_temp_file_size 0|proxy_method GET|proxy_next_upstream off|"
    "proxy_next_upstream_timeout 1s|proxy_next_upstream_tries 1|proxy_no_cache $arg_x|proxy_pass http://127.0.0.1:1|"
    "proxy_pass_header X|proxy_pass_request_body off|proxy_pass_request_headers off|proxy_read_timeout 5s|proxy_redirect off|"
    "proxy_redirect a b|proxy_request_buffering off|proxy_send_lowat 0|proxy_send_timeout 5s|proxy_set_body x|proxy_set_header X y|"
    "proxy_socket_keepalive on|proxy_temp_file_write_size 8k|proxy_temp_path x 1 2|random|random_index on|read_ahead 0|"
    "real_ip_header X|real_ip_recursive on|recursive_error_pages on|referer_hash_bucket_size 64|referer_hash_max_size 2048|"
    "request_pool_size 4k|reset_timedout_connection on|resolver 127.0.0.1|resolver 127.0.0.1 valid=5s ipv6=off|resolver_timeout 5s|"
    "return 200|return 200 x|return http://x/|rewrite a b|rewrite a b last|rewrite_log on|root /tmp|satisfy any|secure_link $arg_a|"
    "secure_link_md5 x|secure_link_secret x|send_lowat 0|send_timeout 5s|sendfile on|sendfile_max_chunk 1m|"
    "server { listen 127.6.0.1:2; }|server_name a|server_name_in_redirect on|server_names_hash_bucket_size 64|"
    "server_names_hash_max_size 512|server_tokens off|server_tokens build|set $x y|set_real_ip_from 10.0.0.0/8|"
    "source_charset utf-8|split_clients $uri $s1 { * 1; }|ssl_protocols TLSv1.2|stub_status|sub_filter a b|"
    "sub_filter_last_modified on|sub_filter_once off|sub_filter_types *|tcp_nodelay off|tcp_nopush on|try_files a =404|"
    "types { a/b c; }|types_hash_bucket_size 64|types_hash_max_size 1024|underscores_in_headers on|uninitialized_variable_warn off|"
    "upstream u1 { server 127.0.0.1:1; }|valid_referers none a|variables_hash_bucket_size 64|variables_hash_max_size 1024|"
    "zone z 64k|worker_connections 10|multi_accept on|use epoll|accept_mutex off|accept_mutex_delay 1s|worker_aio_requests 8|"
    "daemon on|env A|lock_file x|master_process on|pcre_jit on|pid x|thread_pool t threads=2|timer_resolution 1s|user root|"
    "worker_cpu_affinity auto|worker_priority 0|worker_processes 2|worker_rlimit_core 1m|worker_rlimit_nofile 100|"
    "worker_shutdown_timeout 5s|working_directory /tmp|fastcgi_temp_path x|uwsgi_temp_path x|scgi_temp_path x|"
    "charset_map a b { 80 81; }|override_charset on|subrequest_output_buffer_size 4k|server_name ~^(a|b)$|gunzip on|http2 on|"
    "post_action /x|proxy_store off|proxy_cache off|proxy_force_ranges on|proxy_ssl_verify off|fastcgi_pass 127.0.0.1:1|"
    "fastcgi_param A b|include /none/*|load_module x.so|keepalive_min_timeout 1s|max_headers 10|mirror off|ssi off|slice 0|"
    "empty_gif|image_filter off|dav_methods off|min_delete_depth 0|create_full_put_path off|flv|mp4|userid off|ancient_browser x|"
    "modern_browser unlisted|addition_types *|xml_entities x|memcached_pass 127.0.0.1:1|perl_set $p x|geoip_country x|auth_jwt off|"
    "early_hints $arg_x|sticky cookie x|queue 10|health_check|ntlm|least_time header|state x"
).split("|")
CONTEXTS = {"http": "http", "server": "server", "location": "server", "if in location": "server", "if in server": "server",
    "limit_except": "server", "upstream": "http"}
AROUND = {"http": "%s", "server": "%s", "location": "location / { %s }", "if in location": "location / { if ($arg_z) { %s } }",
    "if in server": "if ($arg_z) { %s }", "limit_except": "location / { limit_except GET { %s } }",
    "upstream": "upstream ux { server 127.0.0.1:9; %s }"}
SHORT = ("location", "http")


def inside(context, word):
    text = AROUND[context] % (word if word.endswith("}") else word + ";")
    return {CONTEXTS[context]: text}


def joined(words):
    """The list; a word with a bar in it was cut in two."""
    whole = []
    for word in words:
        if whole and whole[-1].count("(") > whole[-1].count(")"):
            whole[-1] += "|" + word
        else:
            whole.append(word)
    return whole


CASES = [Case(f"{context}: {word}", verdict=True, long=context not in SHORT or number % 3 != SHORT.index(context), **inside(context, word))
    for number, word in enumerate(joined(GOOD)) for context in CONTEXTS]

BAD = (
    "add_header X|add_header|alias|allow x|allow|autoindex maybe|autoindex|autoindex on off|charset|client_max_body_size x|"
    "client_max_body_size -1|client_max_body_size 1kk|client_max_body_size 99999999999999999999|client_body_timeout x|"
    "client_body_timeout 1x|client_body_timeout 1h30m|client_body_timeout 1m1h|client_body_timeout -1|default_type|error_page 404|"
    "error_page /x|error_page 200 /x|error_page 700 /x|error_page 404 = =200 /x|etag x|expires|expires 1 2 3|gzip_comp_level 10|"
    "gzip_comp_level 0|gzip_http_version 2|gzip_proxied bogus|gzip_types|if_modified_since x|index|internal x|keepalive_timeout|"
    "keepalive_timeout x|large_client_header_buffers 1|large_client_header_buffers 0 1k|limit_rate|limit_req zone=|limit_conn a|"
    "location|log_format|log_not_found|map|open_file_cache|open_file_cache max=0|open_file_cache inactive=1s|proxy_buffers 1|"
    "proxy_buffers 0 4k|proxy_http_version 3|proxy_pass|proxy_pass x|proxy_pass ftp://x|proxy_read_timeout x|proxy_redirect|"
    "proxy_redirect x|proxy_set_header|proxy_set_header X|return|return 99|return 1000|return x|return 200 a b|rewrite|rewrite a|"
    "rewrite [ b|rewrite a b bogus|rewrite a b last x|root|root a b|root a; root b|alias a; alias b|root a; alias b|satisfy x|"
    "send_timeout|sendfile x|server_name|server_tokens x|set|set x y|set $x|set $x y z|sub_filter a|try_files a|try_files|types|"
    "types x|types { a/b }|types { a/b c d; a/c c; }|underscores_in_headers x|valid_referers|bogus|bogus x|bogus { }|"
    "etag on; etag off|gzip on; gzip off|expires 1; expires 2|proxy_pass http://127.0.0.1:1; proxy_pass http://127.0.0.1:2|"
    "client_max_body_size 1; client_max_body_size 2|index a; index b|auth_basic a; auth_basic b|charset a; charset b|"
    "default_type a; default_type b|limit_rate 1; limit_rate 2|try_files a b; try_files c d|return 200; return 201|"
    "proxy_read_timeout 1; proxy_read_timeout 2|types { a/b c; }; types { d/e f; }|location = /a { } location = /a { }|"
    "location /a { } location /a { }|location ~ a { } location ~ a { }|location @a { } location @a { }|location ~ [ { }|"
    "location = { }|location bogus /a { }|location ~* { }|location /a { location /b { } }|location = /a { location /a/b { } }|"
    "location @a { location /b { } }|if (a { }|if ($a = ) { }|if () { }|if $a { }|if ($arg_a == 1) { }|if ($arg_a ~ [) { }|"
    "if (-q a) { }|if ($a b c) { }|return 200 \"unclosed|return 200 'un\"closed'|return 200 \"a\"b|return 200 a\"b\"|return 200 {|}|{|;|"
    ";;|# comment|return 200 x # comment|return 200 x# not|return 200 \\x|return 200 \"\\\"\"|\"return\" 200|retur\\n 200|return\t200|"
    "return 200 $|return 200 ${arg_x|return 200 ${}|set $a-b c|geo|split_clients|upstream|server"
).split("|")
CASES += [Case(f"bad in location: {word!r}", "location /loc { " + (word if word.endswith("}") else word + ";") + " }", verdict=True,
    long=number % 3 != 0) for number, word in enumerate(joined(BAD))]
CASES += [Case(f"bad listen: {word}", f"listen {word};", verdict=True)
    for word in ("", "x:y", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1", "[::1]:8", "*:8", "8", "0", "-1", "localhost:8", "unix:",
        "unix:/tmp/x.sock", "127.0.0.1:8 default_server", "127.0.0.1:8 default", "127.0.0.1:8 bogus", "127.0.0.1:8 ssl",
        "127.0.0.1:8 http2", "127.0.0.1:8 backlog=10", "127.0.0.1:8 backlog=x", "127.0.0.1:8 reuseport", "127.0.0.1:8 so_keepalive=on",
        "127.0.0.1:8 so_keepalive=1:2:3", "127.0.0.1:8 rcvbuf=1k sndbuf=1k", "127.0.0.1:8 bind deferred", "127.0.0.1:8-10",
        "127.0.0.1:8; listen 127.0.0.1:8", "8 default_server; listen 127.0.0.1:8", "127.0.0.1:8 ipv6only=on", "[::]:8 ipv6only=off",
        "127.0.0.1:8 fastopen=3", "127.0.0.1:8 setfib=1", "127.0.0.1:8 proxy_protocol", "127.0.0.1:8 spdy", "127.0.0.1:8 quic")]
