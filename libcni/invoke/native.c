/* Plugin processes from their start to their exit, without the interpreter lock: one, or one after the other.
 *
 * The ordinary course and nothing else: a plugin that is fed in one go, answers, and exits soon. Deadlines, kills, long
 * requests and children that hold a pipe are left to process.py, which takes over where this returns. What is known of a
 * process stands in an array of the caller's (child.py), filled in here before any signal handler of Python can run.
 * While the first plugin starts and runs, there is time for file work (filework.py); meanwhile it is another thread's
 * turn in Python.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The array, as child.py names its parts: numbers of 64 bits, -1 for a descriptor that is closed. */
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
    COUNT
};
typedef long long cell;
#define CLOSED (-1)

/* The arrays of file work, as filework.py names their parts. */
enum { SYNC, IS_OF_NAMES, SYNC_ERROR, FOLDER, DRAFT, WORK_COUNT };
enum { ASKED, DONE, SYNCING, SHARED_COUNT };
#define FILE_MODE 0600

#define FIRST_FREE 3
#define SURE_TO_FIT PIPE_BUF
#define CHUNK 65536
#define DRAIN_READS 32 /* twice what the largest pipe of an ordinary user holds */
#define SIGNALS 65
/* Milliseconds: a process that another thread is just starting has our pipes until it executes. */
#define OTHERS 5

#define NANOSECONDS 1000000000LL
#define MILLISECOND 1000000LL

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANOSECONDS + time.tv_nsec;
}

/* Threads that use the library take turns in Python. Python gives its interpreter lock away with each call of the system,
 * and whoever is waiting takes it: threads at the same work would hand it on dozens of times for one ADD. Nothing but
 * speed depends on whose turn it is, so that nobody waits for it long: while a call of the system, or a function of the
 * user's, takes its time in somebody's turn, the others go on without. */
#define TURN_MILLISECONDS 20

static struct {
    pthread_mutex_t lock;
    pthread_cond_t left;
    int is_taken, is_late;
    unsigned long count;
} turn = {.lock = PTHREAD_MUTEX_INITIALIZER};

static __thread int has_turn;

static int begin_turns(void) {
    pthread_condattr_t attributes;
    int error = pthread_condattr_init(&attributes);
    if (error == 0) {
        error = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        error = error ? error : pthread_cond_init(&turn.left, &attributes);
        pthread_condattr_destroy(&attributes);
    }
    turn.is_taken = turn.is_late = has_turn = 0;
    return error;
}

/* With the lock held: wait until nobody has the turn. If the same thread has it all the time, that is late. */
static void wait_for_turn(void) {
    unsigned long count = turn.count;
    long long end = now() + TURN_MILLISECONDS * MILLISECOND;
    struct timespec until = {end / NANOSECONDS, end % NANOSECONDS};
    int error = 0;
    while (turn.is_taken && !turn.is_late && error == 0) {
        error = pthread_cond_timedwait(&turn.left, &turn.lock, &until);
    }
    if (turn.is_taken && turn.count == count) {
        turn.is_late = 1;
        pthread_cond_broadcast(&turn.left);
    }
}

static void take_turn(int may_wait) {
    pthread_mutex_lock(&turn.lock);
    if (may_wait) {
        wait_for_turn();
    }
    if (!turn.is_taken) {
        turn.is_taken = has_turn = 1;
        turn.count++;
    }
    pthread_mutex_unlock(&turn.lock);
}

/* Says whether this thread had it. */
static int leave_turn(void) {
    if (!has_turn) {
        return 0;
    }
    pthread_mutex_lock(&turn.lock);
    turn.is_taken = turn.is_late = has_turn = 0;
    pthread_cond_signal(&turn.left);
    pthread_mutex_unlock(&turn.lock);
    return 1;
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

/* The signals that this process ignores, or has handlers for. To ask for all of them takes 5 us: the first child of a
 * series does, and tells the others through the memory that it shares with its parent. */
typedef struct {
    sigset_t signals;
    int are_known;
} handled;

static void ask_for_handled(handled *of_parent) {
    struct sigaction action;
    sigemptyset(&of_parent->signals);
    for (int number = 1; number < SIGNALS; number++) {
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL) {
            sigaddset(&of_parent->signals, number);
        }
    }
    of_parent->are_known = 1;
}

/* In the child, which shares the memory of its parent until it executes: nothing here may allocate or take a lock. */
static int become(const cell *cells, const char *program, char **environment, handled *of_parent) {
    char *arguments[] = {(char *)program, NULL};
    struct sigaction standard;
    sigset_t none;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    setpgid(0, 0);
    if (!of_parent->are_known) {
        ask_for_handled(of_parent);
    }
    for (int number = 1; number < SIGNALS; number++) {
        if (sigismember(&of_parent->signals, number) == 1) {
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

static int spawn(cell *cells, const char *program, char **environment, handled *of_parent) {
    sigset_t all, before;
    volatile int failure = 0;
    int error;
    /* No handler of this process may run in the child while both share their memory. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0) {
        failure = become(cells, program, environment, of_parent);
        _exit(127);
    }
    error = pid < 0 ? errno : failure;
    if (pid > 0) {
        if (error == 0) {
            cells[PID] = pid;
        } else {
            while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
            }
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

/* Another try begins with the pipes of the one before. Without a request, that is written later. */
static int begin(cell *cells, const char *program, char **environment, const char *request, Py_ssize_t size,
                 handled *of_parent) {
    int error = cells[STDOUT_READ] == CLOSED ? open_pipes(cells) : 0;
    cells[STARTED] = cells[STARTED] ? cells[STARTED] : now(); /* that of the first try */
    if (error == 0 && request != NULL && cells[STDIN_WRITE] != CLOSED) {
        error = feed(cells, request, size);
    }
    if (error == 0) {
        error = spawn(cells, program, environment, of_parent);
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

/* Wait for the exit. With the state of a thread of Python, run the handlers of signals meanwhile. Returns 1 when the exit
 * has come, -1 with an exception. */
static int wait_for_exit(const cell *cells, long long end, int interrupt, PyThreadState **python) {
    struct pollfd watched[] = {{(int)cells[PIDFD], POLLIN, 0}, {interrupt, POLLIN, 0}};
    for (;;) {
        long long left = end > 0 ? end - now() : 0;
        int ready = poll(watched, 2, left > 0 ? (int)((left + MILLISECOND - 1) / MILLISECOND) : 0);
        if (ready >= 0 || errno != EINTR) {
            return ready > 0 && watched[0].revents != 0;
        }
        if (python != NULL) {
            PyEval_RestoreThread(*python);
            int failed = PyErr_CheckSignals();
            *python = PyEval_SaveThread();
            if (failed) {
                return -1;
            }
        }
    }
}

static PyObject *outputs_of(output *outputs) {
    PyObject *both = Py_BuildValue("y#y#", outputs[0].data ? outputs[0].data : "", (Py_ssize_t)outputs[0].size,
                                   outputs[1].data ? outputs[1].data : "", (Py_ssize_t)outputs[1].size);
    for (int i = 0; i < 2; i++) {
        free(outputs[i].data);
        outputs[i] = (output){NULL, 0};
    }
    return both;
}

static int get_array(PyObject *object, Py_buffer *cells, Py_ssize_t count) {
    if (PyObject_GetBuffer(object, cells, PyBUF_WRITABLE) != 0) {
        return -1;
    }
    if (cells->len != count * (Py_ssize_t)sizeof(cell)) {
        PyBuffer_Release(cells);
        PyErr_SetString(PyExc_ValueError, "not an array of the right size");
        return -1;
    }
    return 0;
}

static int get_cells(PyObject *object, Py_buffer *cells) {
    return get_array(object, cells, COUNT);
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
    PyObject *array;
    Py_buffer cells;
    const char *program, *block, *request;
    Py_ssize_t block_size, size;
    int error;
    if (!PyArg_ParseTuple(arguments, "Oyy#z#", &array, &program, &block, &block_size, &request, &size) ||
        get_cells(array, &cells) != 0) {
        return NULL;
    }
    char **environment = variables_of(block, block_size);
    if (environment == NULL) {
        PyBuffer_Release(&cells);
        return PyErr_NoMemory();
    }
    handled signals = {.are_known = 0};
    Py_BEGIN_ALLOW_THREADS
    error = begin(cells.buf, program, environment, request, size, &signals);
    Py_END_ALLOW_THREADS
    free(environment);
    PyBuffer_Release(&cells);
    if (error != 0) {
        errno = error;
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, program);
    }
    Py_RETURN_NONE;
}

static PyObject *finish(PyObject *Py_UNUSED(module), PyObject *arguments) {
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

/* One plugin of several that run one after the other. */
typedef struct {
    Py_buffer cells;
    const char *program, *request, *expected;
    Py_ssize_t size, expected_size;
    char **environment;
    output outputs[2];
    int has_exited;
} plugin;

/* A job: plugins, how many of them were started, and what stopped that; file work for the first, whose arrays may be
 * missing. */
typedef struct job {
    struct job *next;
    PyObject *calls;     /* keeps alive what the pointers lead to */
    PyObject *meanwhile; /* what Python does while the first runs; NULL for nothing */
    Py_buffer work, shared;
    Py_ssize_t count, started;
    handled signals;
    int patience, interrupt, event, error, is_done, had_turn;
    pid_t owner;
    plugin plugins[];
} job;

/* The next plugin may start where this one has ended well, and has printed what that was asked to go on with. */
static int is_as_expected(const plugin *one) {
    const cell *cells = one->cells.buf;
    const output *printed = &one->outputs[0];
    return cells[STATUS] == 0 && one->outputs[1].size == 0 && printed->size == (size_t)one->expected_size &&
           (printed->size == 0 || memcmp(printed->data, one->expected, printed->size) == 0);
}

/* Threads that ask while a sync is under way share the next. A disk does not do many at once. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t ended;
} syncs = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};

static int sync_alone(const cell *work) {
    int descriptor = (int)work[SYNC], failed;
    do {
        failed = work[IS_OF_NAMES] ? fsync(descriptor) : fdatasync(descriptor);
    } while (failed && errno == EINTR);
    return failed ? errno : 0;
}

/* Bring a file to the disk, or have a sync do it that another thread begins after this was called. */
static int sync_shared(const cell *work, cell *shared) {
    int error = 0;
    pid_t self = getpid(); /* a forked child has none of the threads */
    pthread_mutex_lock(&syncs.lock);
    cell asked = ++shared[ASKED];
    while (shared[SYNCING] == self && shared[DONE] <= asked) {
        pthread_cond_wait(&syncs.ended, &syncs.lock);
    }
    if (shared[DONE] <= asked) {
        cell covered = ++shared[ASKED];
        shared[SYNCING] = self;
        pthread_mutex_unlock(&syncs.lock);
        error = sync_alone(work);
        pthread_mutex_lock(&syncs.lock);
        shared[SYNCING] = 0;
        shared[DONE] = error == 0 ? covered : shared[DONE];
        pthread_cond_broadcast(&syncs.ended);
    }
    pthread_mutex_unlock(&syncs.lock);
    return error;
}

static void do_sync(job *all) {
    cell *work = all->work.buf;
    work[SYNC_ERROR] = all->shared.buf == NULL ? sync_alone(work) : sync_shared(work, all->shared.buf);
}

/* Start the first plugin, and do file work meanwhile: it gets its request when that is on the disk which has to be. */
static int begin_first(job *all, plugin *one) {
    cell *cells = one->cells.buf, *work = all->work.buf;
    if (work == NULL || work[SYNC] == CLOSED) {
        return begin(cells, one->program, one->environment, one->request, one->size, &all->signals);
    }
    int error = begin(cells, one->program, one->environment, NULL, 0, &all->signals);
    if (error == 0) {
        do_sync(all);
        if (work[SYNC_ERROR] == 0) {
            feed(cells, one->request, one->size);
        }
    }
    return error;
}

/* Make a file without a name, for who will need one. */
static void make_draft(cell *work) {
    if (work[FOLDER] != CLOSED && work[DRAFT] == CLOSED) {
        work[DRAFT] = openat((int)work[FOLDER], ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, FILE_MODE);
        if (work[DRAFT] != CLOSED) {
            fchmod((int)work[DRAFT], FILE_MODE); /* whatever the umask is */
        }
    }
}

/* Leave Python, and with it the turn, if this thread had that, and come back. */
static PyThreadState *leave_python(int *had_turn) {
    *had_turn = leave_turn();
    return PyEval_SaveThread();
}

static void enter_python(PyThreadState *python, int had_turn) {
    if (had_turn) {
        take_turn(1);
    }
    PyEval_RestoreThread(python);
}

/* Work in advance saves time only where there is nothing else to do: it does not wait for its turn. */
static int call_meanwhile(job *work, PyThreadState **python) {
    if (work->had_turn) {
        take_turn(0);
        if (!has_turn) {
            return 0;
        }
    }
    PyEval_RestoreThread(*python);
    PyObject *answer = PyObject_CallObject(work->meanwhile, NULL);
    Py_XDECREF(answer);
    leave_turn();
    *python = PyEval_SaveThread();
    return answer == NULL ? -1 : 0;
}

/* Run one plugin as far as its ordinary course goes. Returns -1 with an exception. */
static int run_one(job *work, plugin *one, long long end, PyThreadState **python) {
    cell *cells = one->cells.buf;
    int is_first = one == work->plugins;
    work->error = is_first ? begin_first(work, one)
                           : begin(cells, one->program, one->environment, one->request, one->size, &work->signals);
    if (work->error != 0) {
        return 0;
    }
    work->started++;
    if (is_first && work->work.buf != NULL && cells[STDIN_WRITE] == CLOSED) {
        make_draft(work->work.buf);
    }
    if (cells[STDIN_WRITE] != CLOSED || cells[PIDFD] == CLOSED) {
        return 0;
    }
    if (is_first && work->meanwhile != NULL && call_meanwhile(work, python) != 0) {
        return -1;
    }
    one->has_exited = wait_for_exit(cells, end, work->interrupt, python);
    if (one->has_exited > 0 && drain_pipes(cells, one->outputs, OTHERS)) {
        reap(cells);
    }
    return one->has_exited < 0 ? -1 : 0;
}

static int run_all(job *work, PyThreadState **python) {
    long long end = end_of(work->patience);
    if (work->count == 0 && work->work.buf != NULL) {
        do_sync(work);
    }
    for (Py_ssize_t i = 0; i < work->count; i++) {
        if (run_one(work, &work->plugins[i], end, python) != 0) {
            return -1;
        }
        if (work->error != 0 || !is_as_expected(&work->plugins[i]) || now() >= end) {
            break;
        }
    }
    return 0;
}

static void free_job(job *work) {
    for (Py_ssize_t i = 0; i < work->count; i++) {
        plugin *one = &work->plugins[i];
        PyBuffer_Release(&one->cells);
        free(one->environment);
        free(one->outputs[0].data);
        free(one->outputs[1].data);
    }
    PyBuffer_Release(&work->work);
    PyBuffer_Release(&work->shared);
    Py_XDECREF(work->calls);
    free(work);
}

/* The arrays of file work, if there is any. */
static int get_work(PyObject *pair, job *into) {
    PyObject *work, *shared;
    if (pair == Py_None) {
        return 0;
    }
    if (!PyTuple_Check(pair)) {
        PyErr_SetString(PyExc_TypeError, "file work must be a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(pair, "OO", &work, &shared) || get_array(work, &into->work, WORK_COUNT) != 0 ||
        (shared != Py_None && get_array(shared, &into->shared, SHARED_COUNT) != 0)) {
        return -1;
    }
    return 0;
}

/* Plugins from (cells, program, environment, request, what it is expected to print), and file work; NULL with an
 * exception. */
static job *job_of(PyObject *calls, PyObject *file_work) {
    PyObject *tuple = PySequence_Tuple(calls);
    if (tuple == NULL) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_Size(tuple);
    job *work = calloc(1, sizeof *work + (size_t)count * sizeof *work->plugins);
    if (work == NULL) {
        Py_DECREF(tuple);
        PyErr_NoMemory();
        return NULL;
    }
    work->calls = tuple;
    work->owner = getpid();
    work->interrupt = CLOSED;
    for (; work->count < count; work->count++) {
        plugin *one = &work->plugins[work->count];
        PyObject *array;
        const char *block;
        Py_ssize_t block_size;
        PyObject *call = PyTuple_GetItem(tuple, work->count);
        if (!PyTuple_Check(call)) {
            PyErr_SetString(PyExc_TypeError, "a program must be a tuple");
            break;
        }
        if (!PyArg_ParseTuple(call, "Oyy#y#y#", &array, &one->program, &block, &block_size, &one->request, &one->size,
                              &one->expected, &one->expected_size) ||
            get_cells(array, &one->cells) != 0) {
            break;
        }
        one->environment = variables_of(block, block_size);
        if (one->environment == NULL) {
            PyBuffer_Release(&one->cells);
            PyErr_NoMemory();
            break;
        }
    }
    if (work->count < count || get_work(file_work, work) != 0) {
        free_job(work);
        return NULL;
    }
    return work;
}

/* What each plugin that was started has written; None of one that still runs. */
static PyObject *results_of(job *work) {
    if (work->started == 0 && work->error != 0) {
        errno = work->error;
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, work->plugins[0].program);
    }
    PyObject *results = PyList_New(work->started);
    for (Py_ssize_t i = 0; results != NULL && i < work->started; i++) {
        PyObject *result = Py_None;
        if (work->plugins[i].has_exited > 0) {
            result = outputs_of(work->plugins[i].outputs);
        } else {
            Py_INCREF(result);
        }
        if (result == NULL || PyList_SetItem(results, i, result) != 0) {
            Py_CLEAR(results);
        }
    }
    return results;
}

static PyObject *run(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *calls, *file_work, *meanwhile = Py_None;
    int patience, interrupt;
    if (!PyArg_ParseTuple(arguments, "OiiO|O", &calls, &patience, &interrupt, &file_work, &meanwhile)) {
        return NULL;
    }
    job *work = job_of(calls, file_work);
    if (work == NULL) {
        return NULL;
    }
    work->patience = patience;
    work->interrupt = interrupt;
    work->meanwhile = meanwhile == Py_None ? NULL : meanwhile;
    PyThreadState *python = leave_python(&work->had_turn);
    int failed = run_all(work, &python);
    enter_python(python, work->had_turn);
    PyObject *results = failed ? NULL : results_of(work);
    free_job(work);
    return results;
}

/* Who gets it at once keeps the interpreter lock too. */
static PyObject *begin_turn(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing)) {
    if (!has_turn) {
        take_turn(0);
    }
    if (!has_turn) {
        Py_BEGIN_ALLOW_THREADS
        take_turn(1);
        Py_END_ALLOW_THREADS
    }
    return PyBool_FromLong(has_turn);
}

static PyObject *end_turn(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(nothing)) {
    return PyBool_FromLong(leave_turn());
}

/* The pool: an event loop must not be held up while a plugin starts, which takes as long as it gets no processor. */

#define JOB "libcni.invoke._native.job"
#define THREADS 64
#define STACK (256 * 1024)
#define IDLE_SECONDS 10

static struct {
    pthread_mutex_t lock;
    pthread_cond_t asked, done;
    job *first, **last;
    int threads, waiting, idle;
} pool = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &pool.first, 0, 0, 0};

/* With the lock held. NULL after some seconds without work. */
static job *next_job(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += IDLE_SECONDS;
    while (pool.first == NULL) {
        pool.idle++;
        int error = pthread_cond_timedwait(&pool.asked, &pool.lock, &until);
        pool.idle--;
        if (error != 0 && pool.first == NULL) {
            return NULL;
        }
    }
    job *work = pool.first;
    pool.first = work->next;
    pool.waiting--;
    if (pool.first == NULL) {
        pool.last = &pool.first;
    }
    return work;
}

static void *serve(void *Py_UNUSED(nothing)) {
    job *work;
    pthread_mutex_lock(&pool.lock);
    while ((work = next_job()) != NULL) {
        pthread_mutex_unlock(&pool.lock);
        run_all(work, NULL);
        pthread_mutex_lock(&pool.lock);
        work->is_done = 1;
        eventfd_write(work->event, 1); /* with the lock: whoever sees that it is done may free it, and close this */
        pthread_cond_broadcast(&pool.done);
    }
    pool.threads--;
    pthread_mutex_unlock(&pool.lock);
    return NULL;
}

/* With the lock held: no signal handler of this process runs in the new thread. */
static int add_thread(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    pool.threads += error == 0;
    return error;
}

static int enqueue(job *work) {
    int error = 0;
    pthread_mutex_lock(&pool.lock);
    if (pool.waiting >= pool.idle && pool.threads < THREADS) {
        error = add_thread();
    }
    if (pool.threads > 0) {
        error = 0;
        *pool.last = work;
        pool.last = &work->next;
        pool.waiting++;
        pthread_cond_signal(&pool.asked);
    }
    pthread_mutex_unlock(&pool.lock);
    return error;
}

/* A forked child has none of the threads. */
static void forget_threads(void) {
    pthread_mutex_init(&syncs.lock, NULL);
    pthread_cond_init(&syncs.ended, NULL);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.asked, NULL);
    pthread_cond_init(&pool.done, NULL);
    pool.first = NULL;
    pool.last = &pool.first;
    pool.threads = pool.waiting = pool.idle = 0;
    pthread_mutex_init(&turn.lock, NULL);
    begin_turns();
}

static void wait_for(job *work) {
    pthread_mutex_lock(&pool.lock);
    while (!work->is_done && work->owner == getpid()) {
        pthread_cond_wait(&pool.done, &pool.lock);
    }
    pthread_mutex_unlock(&pool.lock);
}

static void wait_outside(job *work) {
    int had_turn;
    PyThreadState *python = leave_python(&had_turn);
    wait_for(work);
    enter_python(python, had_turn);
}

static void drop_job(PyObject *capsule) {
    job *work = PyCapsule_GetPointer(capsule, JOB);
    wait_outside(work);
    free_job(work);
}

static PyObject *submit(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *calls, *file_work;
    int patience, event;
    if (!PyArg_ParseTuple(arguments, "OiiO", &calls, &patience, &event, &file_work)) {
        return NULL;
    }
    job *work = job_of(calls, file_work);
    if (work == NULL) {
        return NULL;
    }
    work->patience = patience;
    work->event = event;
    PyObject *capsule = PyCapsule_New(work, JOB, drop_job);
    if (capsule == NULL) {
        free_job(work);
        return NULL;
    }
    int error = enqueue(work);
    if (error != 0) {
        work->is_done = 1;
        Py_DECREF(capsule);
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return capsule;
}

static PyObject *collect(PyObject *Py_UNUSED(module), PyObject *capsule) {
    job *work = PyCapsule_GetPointer(capsule, JOB);
    if (work == NULL) {
        return NULL;
    }
    wait_outside(work);
    return results_of(work);
}

/* Without close_range (Linux 5.9), a plugin could inherit what it must not have. */
static int check_system(PyObject *Py_UNUSED(module)) {
    if (syscall(SYS_close_range, UINT_MAX, UINT_MAX, 0) != 0) {
        PyErr_SetString(PyExc_ImportError, "this system has no close_range");
        return -1;
    }
    static int is_ready; /* another interpreter of the process may have the module already */
    int error = 0;
    if (!is_ready) {
        error = begin_turns();
        error = error ? error : pthread_atfork(NULL, NULL, forget_threads);
        is_ready = error == 0;
    }
    if (error != 0) {
        errno = error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static PyMethodDef functions[] = {
    {"start", start, METH_VARARGS, NULL},
    {"finish", finish, METH_VARARGS, NULL},
    {"drain", drain, METH_O, NULL},
    {"run", run, METH_VARARGS, NULL},
    {"submit", submit, METH_VARARGS, NULL},
    {"collect", collect, METH_O, NULL},
    {"begin_turn", begin_turn, METH_NOARGS, NULL},
    {"end_turn", end_turn, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)check_system}, {0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", NULL, 0, functions, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void) {
    return PyModuleDef_Init(&definition);
}
