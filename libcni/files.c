/* What is read, looked at and locked on the way of every verb, and by a listing, in one call each and without the
 * interpreter lock.
 *
 * quick.py has the same in Python, and says what each of these does. Nothing here changes a file but the note of who
 * holds a lock.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FILE (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#define CHANGE_FILE (O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)

#define NO_FILE (-1)
#define NOT_OURS (-2)

static PyObject *fail(int error, const char *message) {
    PyObject *arguments = Py_BuildValue("is", error, message == NULL ? strerror(error) : message);
    if (arguments != NULL) {
        PyErr_SetObject(PyExc_OSError, arguments);
        Py_DECREF(arguments);
    }
    return NULL;
}

static int open_at(int folder, const char *name, int flags) {
    int descriptor;
    do {
        descriptor = openat(folder, name, flags);
    } while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

static int is_safe(const struct stat *status) {
    return (status->st_uid == 0 || status->st_uid == geteuid()) && !(status->st_mode & (S_IWGRP | S_IWOTH));
}

static PyObject *is_at(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *path, *parent;
    unsigned long long device, inode;
    struct stat status, above;
    int is_it;
    if (!PyArg_ParseTuple(arguments, "O&O&KK", PyUnicode_FSConverter, &path, PyUnicode_FSConverter, &parent, &device,
                          &inode)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(path), *there = PyBytes_AsString(parent);
    Py_BEGIN_ALLOW_THREADS
    is_it = lstat(here, &status) == 0 && status.st_dev == device && status.st_ino == inode && is_safe(&status) &&
            stat(there, &above) == 0 && is_safe(&above);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    Py_DECREF(parent);
    return PyBool_FromLong(is_it);
}

static PyObject *is_program(PyObject *Py_UNUSED(module), PyObject *argument) {
    PyObject *path;
    struct stat status;
    int is_one;
    if (!PyUnicode_FSConverter(argument, &path)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(path);
    Py_BEGIN_ALLOW_THREADS
    is_one = stat(here, &status) == 0 && S_ISREG(status.st_mode) && access(here, X_OK) == 0;
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return PyBool_FromLong(is_one);
}

/* The content, in memory that the caller frees; NULL with an error. */
static char *content_of(int descriptor, long long limit, ssize_t *size, int *error) {
    struct stat status;
    char *data = NULL;
    if (fstat(descriptor, &status) != 0) {
        *error = errno;
    } else if (!S_ISREG(status.st_mode) || status.st_size > limit) {
        *error = NOT_OURS;
    } else if ((data = malloc((size_t)status.st_size + 1)) == NULL) {
        *error = ENOMEM;
    } else if ((*size = pread(descriptor, data, (size_t)status.st_size + 1, 0)) < 0) {
        *error = errno;
        free(data);
        data = NULL;
    }
    return data;
}

static PyObject *read_at(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *name, *result = NULL;
    int folder, error = 0;
    long long limit;
    ssize_t size = 0;
    char *data = NULL;
    if (!PyArg_ParseTuple(arguments, "O&iL", PyUnicode_FSConverter, &name, &folder, &limit)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(name);
    Py_BEGIN_ALLOW_THREADS
    int descriptor = open_at(folder, here, READ_FILE);
    if (descriptor < 0) {
        error = errno == ENOENT ? NO_FILE : errno;
    } else {
        data = content_of(descriptor, limit, &size, &error);
        close(descriptor);
    }
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    if (data != NULL) {
        result = PyBytes_FromStringAndSize(data, size);
        free(data);
    } else if (error == NO_FILE) {
        result = Py_None;
        Py_INCREF(result);
    } else if (error == NOT_OURS) {
        fail(EINVAL, "is not a regular file of a reasonable size");
    } else {
        fail(error, NULL);
    }
    return result;
}

/* A file that is to be changed, which must have one name: descriptor, or -1 with an error. */
static int open_to_change(int folder, const char *name, long long *size, int *error) {
    struct stat status;
    int descriptor = open_at(folder, name, CHANGE_FILE);
    if (descriptor < 0) {
        *error = errno == ENOENT ? NO_FILE : errno;
        return -1;
    }
    if (fstat(descriptor, &status) != 0) {
        *error = errno;
    } else if (!S_ISREG(status.st_mode) || status.st_nlink != 1) {
        *error = NOT_OURS;
    } else {
        *size = (long long)status.st_size;
        return descriptor;
    }
    close(descriptor);
    return -1;
}

static PyObject *fail_to_change(int error) {
    return error == NOT_OURS ? fail(EINVAL, "is not a regular file with one name") : fail(error, NULL);
}

static PyObject *open_own(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *name;
    int folder, descriptor, error = 0;
    long long size = 0;
    if (!PyArg_ParseTuple(arguments, "O&i", PyUnicode_FSConverter, &name, &folder)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(name);
    Py_BEGIN_ALLOW_THREADS
    descriptor = open_to_change(folder, here, &size, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    if (error == NO_FILE) {
        Py_RETURN_NONE;
    }
    return error != 0 ? fail_to_change(error) : Py_BuildValue("iL", descriptor, size);
}

static struct flock one_byte(short kind, long long offset) {
    return (struct flock){.l_type = kind, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
}

/* Lock one byte, and note who has it: 1, or 0 if somebody else has, with an error if that cannot be done. */
static int lock_and_note(int descriptor, long long offset, int is_shared, long long place, int *error) {
    struct flock request = one_byte(is_shared ? F_RDLCK : F_WRLCK, offset);
    if (fcntl(descriptor, F_OFD_SETLK, &request) != 0) {
        *error = errno == EAGAIN || errno == EACCES ? 0 : errno;
        return 0;
    }
    uint64_t holder[] = {(uint64_t)getpid(), (uint64_t)offset};
    if (pwrite(descriptor, holder, sizeof holder, place) < 0) {
        /* A full disk: the lock holds all the same, and its holder has no name. */
    }
    return 1;
}

static PyObject *lock_noted(PyObject *Py_UNUSED(module), PyObject *arguments) {
    int descriptor, is_shared, is_locked, error = 0;
    long long offset, place;
    if (!PyArg_ParseTuple(arguments, "iLpL", &descriptor, &offset, &is_shared, &place)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    is_locked = lock_and_note(descriptor, offset, is_shared, place, &error);
    Py_END_ALLOW_THREADS
    return error != 0 ? fail(error, NULL) : PyBool_FromLong(is_locked);
}

static PyObject *open_locked(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *name, *into;
    int folder, is_shared, descriptor, is_locked = 0, error = 0;
    long long wanted, offset, place, size;
    if (!PyArg_ParseTuple(arguments, "O&iLLpLO!", PyUnicode_FSConverter, &name, &folder, &wanted, &offset, &is_shared,
                          &place, &PyList_Type, &into)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(name);
    Py_BEGIN_ALLOW_THREADS
    descriptor = open_to_change(folder, here, &size, &error);
    if (error == 0) {
        struct flock others = one_byte(F_RDLCK, wanted);
        if (wanted >= 0 && fcntl(descriptor, F_OFD_GETLK, &others) != 0) {
            error = errno;
        } else if (wanted < 0 || others.l_type == F_UNLCK) {
            is_locked = lock_and_note(descriptor, offset, is_shared, place, &error);
        }
        if (!is_locked) {
            close(descriptor);
        }
    }
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    if (error == NO_FILE) {
        Py_RETURN_NONE;
    }
    if (error != 0) {
        return fail_to_change(error);
    }
    if (is_locked) {
        /* Here, and not where the caller gets it: an interrupt may come in between. */
        PyObject *number = PyLong_FromLong(descriptor);
        int is_kept = number != NULL && PyList_Append(into, number) == 0;
        Py_XDECREF(number);
        if (!is_kept) {
            close(descriptor);
            return NULL;
        }
    }
    return PyBool_FromLong(is_locked);
}

static int overwrite(int descriptor, const char *data, ssize_t size, long long offset) {
    while (size > 0) {
        ssize_t written = pwrite(descriptor, data, (size_t)size, offset);
        if (written < 0) {
            return errno;
        }
        data += written;
        offset += written;
        size -= written;
    }
    return 0;
}

static PyObject *fill_free(PyObject *Py_UNUSED(module), PyObject *arguments) {
    int descriptor, is_filled = 0, error = 0;
    long long offset;
    const char *block;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "iLy#", &descriptor, &offset, &block, &size)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    struct flock lock = one_byte(F_WRLCK, offset), unlock = one_byte(F_UNLCK, 0);
    unlock.l_len = 0; /* all */
    if (fcntl(descriptor, F_OFD_SETLK, &lock) != 0) {
        error = errno == EAGAIN || errno == EACCES ? 0 : errno;
    } else {
        char first = 0;
        if (pread(descriptor, &first, 1, offset) < 0) {
            error = errno;
        } else if (first == 0) {
            error = overwrite(descriptor, block, size, offset);
            is_filled = error == 0;
            if (!is_filled && pwrite(descriptor, "", 1, offset) < 0) {
                /* A full disk took no part of it. */
            }
        }
        fcntl(descriptor, F_OFD_SETLK, &unlock);
    }
    Py_END_ALLOW_THREADS
    return error != 0 ? fail(error, NULL) : PyBool_FromLong(is_filled);
}

/* Many files, handed on as they are read: a thread reads ahead while Python takes in what was read. */

#define MAX_KEYS 256
#define MAX_OPEN 64
#define MAX_DIGITS 15
#define BLOCK 64 /* files that are handed on together */
#define AHEAD 1024

static int is_digit(char character) {
    return character >= '0' && character <= '9';
}

static size_t skip_space(const char *text, size_t at, size_t size) {
    while (at < size && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r')) {
        at++;
    }
    return at;
}

struct key {
    const char *text;
    size_t size;
};

static int is_among(const struct key *keys, size_t first, size_t count, const char *text, size_t size) {
    for (size_t each = first; each < count; each++) {
        if (keys[each].size == size && memcmp(keys[each].text, text, size) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether a JSON text has nothing in it that decoders differ about: it is ASCII without escapes, no object has a key
 * twice, and its numbers are short. That it is JSON at all is for the decoder to say. */
static int is_plain(const char *text, size_t size) {
    struct key keys[MAX_KEYS]; /* of all objects that are open */
    size_t firsts[MAX_OPEN];   /* where those of each begin */
    size_t count = 0, depth = 0, digits = 0, at = 0;
    while (at < size) {
        char character = text[at++];
        digits = is_digit(character) ? digits + 1 : 0;
        if (character == '"') {
            size_t begin = at;
            while (at < size && text[at] != '"') {
                if (text[at] == '\\' || text[at] < ' ' || text[at] > '~') {
                    return 0;
                }
                at++;
            }
            size_t end = at++;
            size_t behind = skip_space(text, at, size);
            if (behind < size && text[behind] == ':') {
                if (depth == 0 || count == MAX_KEYS ||
                    is_among(keys, firsts[depth - 1], count, text + begin, end - begin)) {
                    return 0;
                }
                keys[count++] = (struct key){text + begin, end - begin};
            }
        } else if (character == '{' || character == '[') {
            if (depth == MAX_OPEN) {
                return 0;
            }
            firsts[depth++] = count;
        } else if (character == '}' || character == ']') {
            if (depth == 0) {
                return 0;
            }
            count = firsts[--depth];
        } else if (character == 'N' || character == 'I' || character == 'E' || digits > MAX_DIGITS ||
                   (character == 'e' && at > 1 && is_digit(text[at - 2]))) {
            return 0; /* NaN, Infinity, an exponent, a number that may be rounded */
        }
    }
    return 1;
}

struct plain {
    PyObject *name;
    const char *path; /* in it */
    char *text;       /* NULL if it is not one */
    ssize_t size;
    struct stat status;
};

struct plains {
    struct plain *items;
    size_t count;
    long long limit;
    int folder;
    pthread_mutex_t lock; /* for what follows */
    pthread_cond_t moved;
    size_t read, taken;
    int is_given_up;
};

static size_t end_of_block(const struct plains *all, size_t first) {
    return all->count - first < BLOCK ? all->count : first + BLOCK;
}

static void read_block(const struct plains *all, size_t first) {
    for (size_t each = first, end = end_of_block(all, first); each < end; each++) {
        struct plain *item = &all->items[each];
        int error = 0, descriptor = open_at(all->folder, item->path, READ_FILE);
        if (descriptor < 0) {
            continue;
        }
        if (fstat(descriptor, &item->status) == 0) {
            item->text = content_of(descriptor, all->limit, &item->size, &error);
        }
        close(descriptor);
        if (item->text != NULL && !is_plain(item->text, (size_t)item->size)) {
            free(item->text);
            item->text = NULL;
        }
    }
}

static void move(struct plains *all, size_t *counter, size_t value) {
    pthread_mutex_lock(&all->lock);
    *counter = value;
    pthread_cond_signal(&all->moved);
    pthread_mutex_unlock(&all->lock);
}

static void *read_ahead(void *shared) {
    struct plains *all = shared;
    for (size_t first = 0; first < all->count; first += BLOCK) {
        pthread_mutex_lock(&all->lock);
        while (!all->is_given_up && first >= all->taken + AHEAD) {
            pthread_cond_wait(&all->moved, &all->lock);
        }
        int is_given_up = all->is_given_up;
        pthread_mutex_unlock(&all->lock);
        if (is_given_up) {
            break;
        }
        read_block(all, first);
        move(all, &all->read, first + BLOCK);
    }
    return NULL;
}

static int start_reading(struct plains *all, pthread_t *thread) {
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before); /* signals are for the threads of Python */
    int error = pthread_create(thread, NULL, read_ahead, all);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

static void wait_for_block(struct plains *all, size_t first) {
    pthread_mutex_lock(&all->lock);
    while (all->read <= first) {
        pthread_cond_wait(&all->moved, &all->lock);
    }
    pthread_mutex_unlock(&all->lock);
}

static void stop_reading(struct plains *all, pthread_t thread) {
    pthread_mutex_lock(&all->lock);
    all->is_given_up = 1;
    pthread_cond_signal(&all->moved);
    pthread_mutex_unlock(&all->lock);
    pthread_join(thread, NULL);
}

static long long nanoseconds(struct timespec time) {
    return (long long)time.tv_sec * 1000000000 + time.tv_nsec;
}

static PyObject *plain_of(struct plain *item) {
    const struct stat *status = &item->status;
    if (item->text == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("y#KLLL", item->text, (Py_ssize_t)item->size, (unsigned long long)status->st_ino,
                         (long long)status->st_size, nanoseconds(status->st_mtim), nanoseconds(status->st_ctim));
}

static int hand_on(const struct plains *all, size_t first, PyObject *take) {
    size_t end = end_of_block(all, first);
    PyObject *block = PyList_New((Py_ssize_t)(end - first)), *answer = NULL;
    for (size_t each = first; block != NULL && each < end; each++) {
        struct plain *item = &all->items[each];
        PyObject *plain = plain_of(item);
        free(item->text);
        item->text = NULL;
        if (plain == NULL || PyList_SetItem(block, (Py_ssize_t)(each - first), plain) != 0) {
            Py_DECREF(block);
            block = NULL;
        }
    }
    if (block != NULL) {
        answer = PyObject_CallFunctionObjArgs(take, block, NULL);
        Py_DECREF(block);
        Py_XDECREF(answer);
    }
    return answer != NULL;
}

static int hand_all_on(struct plains *all, PyObject *take) {
    pthread_t thread;
    int is_going_well = 1, is_ahead = all->count > BLOCK && start_reading(all, &thread);
    for (size_t first = 0; is_going_well && first < all->count; first += BLOCK) {
        Py_BEGIN_ALLOW_THREADS
        if (is_ahead) {
            wait_for_block(all, first);
        } else {
            read_block(all, first);
        }
        Py_END_ALLOW_THREADS
        is_going_well = hand_on(all, first, take);
        move(all, &all->taken, first + BLOCK);
    }
    if (is_ahead) {
        Py_BEGIN_ALLOW_THREADS
        stop_reading(all, thread);
        Py_END_ALLOW_THREADS
    }
    return is_going_well;
}

static PyObject *read_plain(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *names, *take;
    long long limit;
    int folder, is_going_well = 1;
    if (!PyArg_ParseTuple(arguments, "O!iLO", &PyList_Type, &names, &folder, &limit, &take)) {
        return NULL;
    }
    size_t count = (size_t)PyList_Size(names);
    /* Not on the stack: a thread of Python that is ended with the interpreter leaves the other one reading. */
    struct plains *all = calloc(1, sizeof *all);
    struct plain *items = calloc(count + 1, sizeof *items);
    if (all == NULL || items == NULL) {
        free(all);
        free(items);
        return PyErr_NoMemory();
    }
    *all = (struct plains){.items = items,
                           .limit = limit,
                           .folder = folder,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .moved = PTHREAD_COND_INITIALIZER};
    while (is_going_well && all->count < count) {
        PyObject *name = PyList_GetItem(names, (Py_ssize_t)all->count);
        struct plain *item = &items[all->count];
        is_going_well = name != NULL && PyUnicode_FSConverter(name, &item->name);
        if (is_going_well) {
            item->path = PyBytes_AsString(item->name);
            all->count++;
        }
    }
    is_going_well = is_going_well && hand_all_on(all, take);
    for (size_t each = 0; each < all->count; each++) {
        free(items[each].text);
        Py_DECREF(items[each].name);
    }
    free(items);
    free(all);
    if (!is_going_well) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"is_at", is_at, METH_VARARGS, NULL},         {"is_program", is_program, METH_O, NULL},
    {"read_at", read_at, METH_VARARGS, NULL},     {"open_own", open_own, METH_VARARGS, NULL},
    {"lock_noted", lock_noted, METH_VARARGS, NULL}, {"open_locked", open_locked, METH_VARARGS, NULL},
    {"fill_free", fill_free, METH_VARARGS, NULL},   {"read_plain", read_plain, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_files", NULL, 0, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__files(void) {
    return PyModuleDef_Init(&definition);
}
