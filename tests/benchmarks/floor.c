/* What the same processes cost at the least: posix_spawn with three pipes, write, poll, read and wait, COUNT times. */
#define _GNU_SOURCE
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void run(const char *path, const char *request) {
    int in[2], out[2], err[2];
    char buffer[65536];
    char *const arguments[] = {(char *)path, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC)) {
        die("pipe2");
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    if (posix_spawn(&pid, path, &actions, NULL, arguments, environ)) {
        die("posix_spawn");
    }
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if (write(in[1], request, strlen(request)) < 0) {
        die("write");
    }
    close(in[1]);
    struct pollfd watched[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    int open_pipes = 2;
    while (open_pipes > 0) {
        if (poll(watched, 2, -1) < 0) {
            die("poll");
        }
        for (int i = 0; i < 2; i++) {
            if (watched[i].fd >= 0 && watched[i].revents && read(watched[i].fd, buffer, sizeof buffer) <= 0) {
                close(watched[i].fd);
                watched[i].fd = -1;
                open_pipes--;
            }
        }
    }
    if (waitpid(pid, NULL, 0) != pid) {
        die("waitpid");
    }
}

int main(int count, char **arguments) {
    if (count != 5) {
        fprintf(stderr, "usage: floor PLUGIN REQUEST CHAIN ROUNDS\n");
        return 2;
    }
    int chain = atoi(arguments[3]);
    int rounds = atoi(arguments[4]);
    setenv("CNI_COMMAND", "ADD", 1);
    for (int i = 0; i < 20; i++) {
        run(arguments[1], arguments[2]);
    }
    double start = now();
    for (int i = 0; i < rounds * chain; i++) {
        run(arguments[1], arguments[2]);
    }
    printf("{\"add\": %.9f}\n", (now() - start) / rounds);
    return 0;
}
