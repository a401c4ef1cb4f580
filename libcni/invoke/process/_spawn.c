/* One plugin process from its start to its exit, without the interpreter lock.
 *
 * The ordinary course and nothing else: a plugin that is fed in one go, answers, and exits soon. Deadlines, kills, long
 * requests and children that hold a pipe are left to execution.py, which takes over where this returns. The process is
 * started by the calling thread, in whose namespaces it runs. What is known of it stands in an array of the caller's
 * (backend.py), filled in here before any signal handler of Python can run. backend_python.py does the same in Python, and is
 * the specification of this file.
 */
#define _GNU_SOURCE
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The array, as backend.py names its parts: numbers of 64 bits, -1 for a descriptor that is closed. */
enum {
    PID,
    STDIN_READ,
    STDIN_WRITE,
    STDOUT_READ,
    STDOUT_WRITE,
    STDERR_READ,
    STDERR_WRITE,
    PIDFD,
    WRITTEN,
    STATUS,
    MAX_RSS,
    CPU,
    STARTED,
    ENDED,
    UNREAPED,
    COUNT
};
typedef long long cell;
#define CLOSED (-1)

#define FIRST_FREE 3
#define SURE_TO_FIT PIPE_BUF
#define CHUNK 65536
#define DRAIN_READS 32 /* twice what the largest pipe of an ordinary user holds */
#define SIGNALS 65
/* Milliseconds: a process that another thread is just starting has our pipes until it executes. */
#define OTHERS 5
/* Tries, one per millisecond, to reap a child that could not execute its program. */
#define REAP_TRIES 10

#define NANOSECONDS 1000000000LL
#define MILLISECOND 1000000LL

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANOSECONDS + time.tv_nsec;
}

static void close_end(cell *cells, int end) {
    if (cells[end] != CLOSED) {
        close((int)cells[end]);
        cells[end] = CLOSED;
    }
}

static int open_pipes(cell *cells) {
    int ends[2];
    for (int end = STDIN_READ; end <= STDERR_READ; end += 2) {
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return errno;
        }
        cells[end] = ends[0];
        cells[end + 1] = ends[1];
    }
    return 0;
}

/* Write what the pipe takes at once, which as a rule is all: the plugin finds it there. */
static int feed(cell *cells, const char *request, Py_ssize_t size) {
    int descriptor = (int)cells[STDIN_WRITE];
    if (size > SURE_TO_FIT && fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0) {
        return errno;
    }
    while (cells[WRITTEN] < size) {
        ssize_t written = write(descriptor, request + cells[WRITTEN], (size_t)(size - cells[WRITTEN]));
        if (written >= 0) {
            cells[WRITTEN] += written;
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            return errno;
        }
    }
    close_end(cells, STDIN_WRITE);
    return 0;
}

/* In the child: give a descriptor the number that the plugin expects, open across exec. */
static int place(int descriptor, int target) {
    return descriptor == target ? fcntl(target, F_SETFD, 0) : dup2(descriptor, target);
}

/* In the child, which shares the memory of its parent until it executes: nothing here may allocate or take a lock. */
static int become(const cell *cells, const char *program, char **environment) {
    char *arguments[] = {(char *)program, NULL};
    struct sigaction standard, action;
    sigset_t none;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    setpgid(0, 0);
    for (int number = 1; number < SIGNALS; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL) {
            sigaction(number, &standard, NULL);
        }
    }
    /* A program that closed its standard streams gives their numbers to the first pipes. Numbers are given lowest
     * first: in this order no line overwrites what a later one needs. */
    if (place((int)cells[STDIN_READ], 0) < 0 || place((int)cells[STDOUT_WRITE], 1) < 0 ||
        place((int)cells[STDERR_WRITE], 2) < 0 || syscall(SYS_close_range, FIRST_FREE, UINT_MAX, 0) != 0) {
        return errno;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(program, arguments, environment);
    return errno;
}

/* Reap a child that could not execute its program, which ends in a moment. A process that traces it may keep it: no
 * wait here is without an end, and execution.py has what is left reaped later. */
static void reap_failed(cell *cells, pid_t pid) {
    static const struct timespec millisecond = {0, MILLISECOND};
    for (int tries = 0; tries < REAP_TRIES; tries++) {
        if (waitpid(pid, NULL, WNOHANG) != 0) {
            return;
        }
        nanosleep(&millisecond, NULL);
    }
    cells[UNREAPED] = pid;
}

static int spawn(cell *cells, const char *program, char **environment) {
    sigset_t all, before;
    volatile int failure = 0;
    int error;
    /* No handler of this process may run in the child while both share their memory. On Linux this is the mask of the
     * calling thread alone, as with pthread_sigmask, which ties what is built to glibc 2.32. */
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        failure = become(cells, program, environment);
        _exit(127);
    }
    error = pid < 0 ? errno : failure;
    if (pid > 0) {
        if (error == 0) {
            cells[PID] = pid;
        } else {
            reap_failed(cells, pid);
        }
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Another try begins with the pipes of the one before. Without a request, that is written later. */
static int begin(cell *cells, const char *program, char **environment, const char *request,
                 Py_ssize_t size) {
    int error = cells[STDOUT_READ] == CLOSED ? open_pipes(cells) : 0;
    cells[STARTED] = cells[STARTED] ? cells[STARTED] : now(); /* that of the first try */
    if (error == 0 && request != NULL && cells[STDIN_WRITE] != CLOSED) {
        error = feed(cells, request, size);
    }
    if (error == 0) {
        error = spawn(cells, program, environment);
    }
    if (error != 0) {
        return error;
    }
    close_end(cells, STDOUT_WRITE);
    close_end(cells, STDERR_WRITE);
    if (cells[STDIN_WRITE] == CLOSED) {
        close_end(cells, STDIN_READ);
    }
    cells[PIDFD] = syscall(SYS_pidfd_open, (pid_t)cells[PID], 0);
    return 0;
}

/* What one stream gave so far. */
typedef struct {
    char *data;
    size_t size;
} output;

/* Most plugins write some hundred bytes: what is read is copied, and no more is allocated than that. */
static ssize_t take(output *out, int descriptor) {
    char chunk[CHUNK];
    ssize_t size = read(descriptor, chunk, CHUNK);
    if (size > 0) {
        char *larger = realloc(out->data, out->size + (size_t)size);
        if (larger == NULL) {
            return -1;
        }
        out->data = larger;
        memcpy(out->data + out->size, chunk, (size_t)size);
        out->size += (size_t)size;
    }
    return size;
}

/* Take what is in the pipes, and say whether nobody can write any more; wait so many milliseconds for that. */
static int drain_pipes(cell *cells, output *outputs, int patience) {
    static const int ends[] = {STDOUT_READ, STDERR_READ};
    struct pollfd watched[] = {{(int)cells[STDOUT_READ], POLLIN, 0}, {(int)cells[STDERR_READ], POLLIN, 0}};
    for (int reads = 0; reads < DRAIN_READS; reads++) {
        if ((watched[0].fd < 0 && watched[1].fd < 0) || poll(watched, 2, patience) <= 0) {
            break;
        }
        for (int i = 0; i < 2; i++) {
            ssize_t size = 0;
            if (watched[i].fd < 0 || watched[i].revents == 0) {
                continue;
            }
            if ((watched[i].revents & POLLIN) && (size = take(&outputs[i], watched[i].fd)) < 0) {
                return 0;
            }
            /* Without writers, a pipe that gives less than was asked for is empty. */
            if ((watched[i].revents & POLLHUP) && size < CHUNK) {
                close_end(cells, ends[i]);
                watched[i].fd = CLOSED;
            }
        }
    }
    return watched[0].fd < 0 && watched[1].fd < 0;
}

static void reap(cell *cells) {
    struct rusage usage;
    int status;
    if (wait4((pid_t)cells[PID], &status, WNOHANG, &usage) == (pid_t)cells[PID]) {
        cells[MAX_RSS] = usage.ru_maxrss;
        cells[CPU] = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL + usage.ru_utime.tv_usec +
                     usage.ru_stime.tv_usec;
        cells[STATUS] = status;
        cells[ENDED] = now();
        close_end(cells, PIDFD);
        close_end(cells, STDIN_READ);
    }
}

/* Until when something is waited for so many milliseconds. */
static long long end_of(int patience) {
    return patience > 0 ? now() + patience * MILLISECOND : 0;
}

/* Wait for the exit, and run the handlers of signals in Python meanwhile. Returns 1 when the exit has come, -1 with an
 * exception. */
static int wait_for_exit(const cell *cells, long long end, int interrupt, PyThreadState **python) {
    struct pollfd watched[] = {{(int)cells[PIDFD], POLLIN, 0}, {interrupt, POLLIN, 0}};
    for (;;) {
        long long left = end > 0 ? end - now() : 0;
        int ready = poll(watched, 2, left > 0 ? (int)((left + MILLISECOND - 1) / MILLISECOND) : 0);
        if (ready >= 0 || errno != EINTR) {
            return ready > 0 && watched[0].revents != 0;
        }
        PyEval_RestoreThread(*python);
        int failed = PyErr_CheckSignals();
        *python = PyEval_SaveThread();
        if (failed) {
            return -1;
        }
    }
}

static PyObject *outputs_of(output *outputs) {
    PyObject *both = PyTuple_New(2);
    for (int i = 0; i < 2; i++) {
        PyObject *taken = PyBytes_FromStringAndSize(outputs[i].data, (Py_ssize_t)outputs[i].size);
        free(outputs[i].data);
        if (both != NULL && (taken == NULL || PyTuple_SetItem(both, i, taken) != 0)) {
            Py_CLEAR(both);
        } else if (both == NULL) {
            Py_XDECREF(taken);
        }
    }
    return both;
}

static int get_cells(PyObject *object, Py_buffer *cells) {
    if (PyObject_GetBuffer(object, cells, PyBUF_WRITABLE) != 0) {
        return -1;
    }
    if (cells->len != COUNT * (Py_ssize_t)sizeof(cell)) {
        PyBuffer_Release(cells);
        PyErr_SetString(PyExc_ValueError, "not an array of the right size");
        return -1;
    }
    return 0;
}

/* The pointers to "NAME=VALUE" texts that stand one after the other, each with its final NUL; NULL without memory. */
static char **variables_of(const char *block, Py_ssize_t size) {
    Py_ssize_t count = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        count += block[i] == '\0';
    }
    char **variables = malloc((size_t)(count + 1) * sizeof *variables);
    if (variables != NULL) {
        for (Py_ssize_t i = 0; i < count; i++) {
            variables[i] = (char *)block;
            block += strlen(block) + 1;
        }
        variables[count] = NULL;
    }
    return variables;
}

static PyObject *start(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *array, *block, *sent;
    Py_buffer cells;
    const char *program;
    char *request = NULL;
    Py_ssize_t size = 0;
    int error;
    /* No "#" in the format: with it, what is compiled by Python 3.13 does not run with those before. */
    if (!PyArg_ParseTuple(arguments, "OySO", &array, &program, &block, &sent) ||
        (sent != Py_None && PyBytes_AsStringAndSize(sent, &request, &size) != 0) || get_cells(array, &cells) != 0) {
        return NULL;
    }
    char **environment = variables_of(PyBytes_AsString(block), PyBytes_Size(block));
    if (environment == NULL) {
        PyBuffer_Release(&cells);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    error = begin(cells.buf, program, environment, request, size);
    Py_END_ALLOW_THREADS
    free(environment);
    PyBuffer_Release(&cells);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, program);
    }
    Py_RETURN_NONE;
}

static PyObject *wait_and_drain(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *array;
    Py_buffer cells;
    int patience, interrupt;
    output outputs[2] = {{NULL, 0}, {NULL, 0}};
    if (!PyArg_ParseTuple(arguments, "Oii", &array, &patience, &interrupt) || get_cells(array, &cells) != 0) {
        return NULL;
    }
    PyThreadState *python = PyEval_SaveThread();
    int has_exited = wait_for_exit(cells.buf, end_of(patience), interrupt, &python);
    if (has_exited > 0 && drain_pipes(cells.buf, outputs, patience > 0 ? OTHERS : 0)) {
        reap(cells.buf);
    }
    PyEval_RestoreThread(python);
    PyBuffer_Release(&cells);
    if (has_exited < 0) {
        return NULL;
    }
    if (has_exited == 0) {
        Py_RETURN_NONE;
    }
    return outputs_of(outputs);
}

static PyObject *drain(PyObject *Py_UNUSED(module), PyObject *array) {
    Py_buffer cells;
    output outputs[2] = {{NULL, 0}, {NULL, 0}};
    if (get_cells(array, &cells) != 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    drain_pipes(cells.buf, outputs, 0);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&cells);
    return outputs_of(outputs);
}

/* Without close_range (Linux 5.9), a plugin could inherit what it must not have. */
static int check_system(PyObject *Py_UNUSED(module)) {
    if (syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) != 0) {
        PyErr_SetString(PyExc_ImportError, "this system has no close_range");
        return -1;
    }
    return 0;
}

static PyMethodDef functions[] = {
    {"start", start, METH_VARARGS, NULL},
    {"wait_for_exit", wait_and_drain, METH_VARARGS, NULL},
    {"drain", drain, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)check_system}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_spawn", NULL, 0, functions, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__spawn(void) {
    return PyModuleDef_Init(&definition);
}
