/* What is read, looked at and locked on the way of every verb, in one call each and without the interpreter lock.
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

static PyObject *open_own(PyObject *Py_UNUSED(module), PyObject *arguments) {
    PyObject *name;
    int folder, descriptor, error = 0;
    struct stat status;
    if (!PyArg_ParseTuple(arguments, "O&i", PyUnicode_FSConverter, &name, &folder)) {
        return NULL;
    }
    const char *here = PyBytes_AsString(name);
    Py_BEGIN_ALLOW_THREADS
    descriptor = open_at(folder, here, CHANGE_FILE);
    if (descriptor < 0) {
        error = errno == ENOENT ? NO_FILE : errno;
    } else {
        if (fstat(descriptor, &status) != 0) {
            error = errno;
        } else if (!S_ISREG(status.st_mode) || status.st_nlink != 1) {
            error = NOT_OURS;
        }
        if (error != 0) {
            close(descriptor);
        }
    }
    Py_END_ALLOW_THREADS
    Py_DECREF(name);
    if (error == NO_FILE) {
        Py_RETURN_NONE;
    }
    if (error != 0) {
        return error == NOT_OURS ? fail(EINVAL, "is not a regular file with one name") : fail(error, NULL);
    }
    return Py_BuildValue("iL", descriptor, (long long)status.st_size);
}

static PyObject *lock_noted(PyObject *Py_UNUSED(module), PyObject *arguments) {
    int descriptor, is_shared, error = 0;
    long long offset, place;
    if (!PyArg_ParseTuple(arguments, "iLpL", &descriptor, &offset, &is_shared, &place)) {
        return NULL;
    }
    struct flock request = {
        .l_type = is_shared ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET, .l_start = offset, .l_len = 1};
    Py_BEGIN_ALLOW_THREADS
    if (fcntl(descriptor, F_OFD_SETLK, &request) != 0) {
        error = errno;
    } else {
        uint64_t holder[] = {(uint64_t)getpid(), (uint64_t)offset};
        if (pwrite(descriptor, holder, sizeof holder, place) < 0) {
            /* A full disk: the lock holds all the same, and its holder has no name. */
        }
    }
    Py_END_ALLOW_THREADS
    if (error != 0 && error != EAGAIN && error != EACCES) {
        return fail(error, NULL);
    }
    return PyBool_FromLong(error == 0);
}

static PyMethodDef functions[] = {
    {"is_at", is_at, METH_VARARGS, NULL},         {"is_program", is_program, METH_O, NULL},
    {"read_at", read_at, METH_VARARGS, NULL},     {"open_own", open_own, METH_VARARGS, NULL},
    {"lock_noted", lock_noted, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_files", NULL, 0, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__files(void) {
    return PyModuleDef_Init(&definition);
}
