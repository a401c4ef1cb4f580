/* The smallest plugin: reads nothing it does not need, answers ADD and VERSION at once, and can be told to take its time. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef SLEEP_MS
#define SLEEP_MS 0
#endif

static const char RESULT[] =
    "{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\",\"mac\":\"00:11:22:33:44:55\",\"sandbox\":\"/run/netns/x\"}],"
    "\"ips\":[{\"address\":\"10.1.0.5/16\",\"gateway\":\"10.1.0.1\",\"interface\":0}],\"routes\":[{\"dst\":\"0.0.0.0/0\"}],\"dns\":{}}";
static const char VERSIONS[] = "{\"cniVersion\":\"1.0.0\",\"supportedVersions\":[\"0.4.0\",\"1.0.0\"]}";

static int answer(const char *text, size_t size) {
    return write(STDOUT_FILENO, text, size) == (ssize_t)size ? 0 : 1;
}

int main(void) {
    static char request[65536];
    const char *command = getenv("CNI_COMMAND");
    while (read(STDIN_FILENO, request, sizeof request) > 0) {
    }
    if (SLEEP_MS > 0) {
        struct timespec pause = {SLEEP_MS / 1000, (SLEEP_MS % 1000) * 1000000L};
        nanosleep(&pause, NULL);
    }
    if (command == NULL) {
        return 1;
    }
    if (strcmp(command, "ADD") == 0) {
        return answer(RESULT, sizeof RESULT - 1);
    }
    if (strcmp(command, "VERSION") == 0) {
        return answer(VERSIONS, sizeof VERSIONS - 1);
    }
    return 0;
}
